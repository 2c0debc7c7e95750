"""Fields of a sample that follow its image: masks, boxes, keypoints, dense maps.

A plan says for every output pixel where it comes from; `SpatialMap` is that map for one sample, and
each kind of field follows it exactly. Coordinates: the edges of an image of width `W` are 0 and
`W`, and the center of its first pixel is 0.5. Boxes are given in edges; keypoints in pixels, whose
centers are whole numbers, as torchvision has both.
"""

from augfeed.fields.boxes import BoxMoves as BoxMoves
from augfeed.fields.boxes import move_boxes as move_boxes
from augfeed.fields.dense import move_dense as move_dense
from augfeed.fields.keypoints import move_keypoints as move_keypoints
from augfeed.fields.kinds import Boxes as Boxes
from augfeed.fields.kinds import Dense as Dense
from augfeed.fields.kinds import Field as Field
from augfeed.fields.kinds import FurtherImage as FurtherImage
from augfeed.fields.kinds import Keypoints as Keypoints
from augfeed.fields.kinds import Mask as Mask
from augfeed.fields.kinds import Passive as Passive
from augfeed.fields.kinds import field_of as field_of
from augfeed.fields.masks import MixedMask as MixedMask
from augfeed.fields.masks import move_mask as move_mask
from augfeed.fields.spatial_map import SpatialMap as SpatialMap
from augfeed.fields.spatial_map import maps_of as maps_of
