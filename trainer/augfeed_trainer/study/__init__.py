"""The study: which regularizers are worth keeping for given data."""

from augfeed_trainer.study.images import StudyData
from augfeed_trainer.study.search import Found, Study, study

__all__ = ["Found", "Study", "StudyData", "study"]
