"""Grading that can be trusted: nbgrader's classroom, judged by the course itself.

nbgrader keeps the gradebook, the penalties and the panels. What it would do in the learner's own kernel (execute
and believe) is done here: answers run in a sandbox, the checks run in the grader. README.md tells how the parts fit.
"""
