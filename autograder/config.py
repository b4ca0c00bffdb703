"""nbgrader's configuration: one for its commands, its JupyterLab panels and `servelab grade`."""

from __future__ import annotations

from pathlib import Path

from traitlets.config import Config

from autograder import classroom

VALIDATE_SECONDS = 300


def configure(config: Config, folder: Path) -> Config:
    """Set up nbgrader for the classroom in `folder`.

    Autograding executes nothing in the learner's kernel: `Judge` reads a submission where nbgrader would, and gives
    nbgrader a clean notebook whose test cells carry their marks as outputs. So neither `Execute` nor `ClearOutput`
    is among the preprocessors; the others that are left out have nothing to do with such a notebook.
    """
    room = classroom.find(folder)
    config.CourseDirectory.root = str(room.root)
    config.CourseDirectory.course_id = room.name
    if room.exchange:
        config.Exchange.root = str(room.exchange)
    config.ExchangeFactory.collect = "autograder.collect.Collect"
    config.Execute.timeout = VALIDATE_SECONDS  # the Validate button runs a learner's whole notebook
    config.Autograde.exporter_class = "autograder.preprocessors.Judge"
    config.Autograde.sanitize_preprocessors = ["nbgrader.preprocessors.OverwriteCells"]
    config.Autograde.autograde_preprocessors = [
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
    ]
    config.Judge.optimistic_validation = True  # a clean notebook need not be validated after each preprocessor
    config.GenerateFeedback.exporter_class = "autograder.preprocessors.Feedback"
    config.GenerateFeedback.preprocessors = ["nbgrader.preprocessors.GetGrades", "autograder.preprocessors.HideTests"]
    return config
