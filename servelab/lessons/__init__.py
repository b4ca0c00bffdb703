"""What a notebook talks to: its opening, predictions, quizzes, exercises, progress and the scorecard."""

from servelab.lessons.lesson import Lesson, open_lesson

__all__ = ["Lesson", "open_lesson"]
