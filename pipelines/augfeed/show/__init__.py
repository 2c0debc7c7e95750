"""Samples shown: what was decided, in words and numbers, and what came of it, in images."""

from augfeed.show.explain import Explanation as Explanation
from augfeed.show.explain import Partner as Partner
from augfeed.show.explain import explain_sample as explain_sample
from augfeed.show.grid import draw_sample as draw_sample
from augfeed.show.grid import preview as preview
from augfeed.show.images import to_pictures as to_pictures
from augfeed.show.labels import Share as Share
from augfeed.show.labels import share_text as share_text
from augfeed.show.steps import Step as Step
from augfeed.show.views import preview_views as preview_views
