"""Reading: where samples come from, in which order, and how files become pixels."""

from augfeed.read.decode import MAX_PIXELS as MAX_PIXELS
from augfeed.read.decode import Channels as Channels
from augfeed.read.decode import decode as decode
from augfeed.read.decode import picture_size as picture_size
from augfeed.read.order import batch_positions as batch_positions
from augfeed.read.order import epoch_order as epoch_order
from augfeed.read.order import steps_per_epoch as steps_per_epoch
from augfeed.read.sources import ArraySource as ArraySource
from augfeed.read.sources import EncodedSource as EncodedSource
from augfeed.read.sources import FolderSource as FolderSource
from augfeed.read.sources import Source as Source
from augfeed.read.sources import open_source as open_source
