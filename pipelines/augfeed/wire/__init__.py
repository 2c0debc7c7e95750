"""The bytes of a plan's description and of a batch."""

from augfeed.wire.batches import batch_tensors, decode_batch, encode_batch, formed
from augfeed.wire.description import Description, dtype_name
from augfeed.wire.fields import fields_to_tensors, is_fields, most_field_bytes
from augfeed.wire.shapes import ImageTensor, most_values, tensors_of
from augfeed.wire.tensors import MEDIA_TYPE, Body, decode, encode
from augfeed.wire.views import MAP_BYTES, ReceivedViews

__all__ = [
    "MAP_BYTES",
    "MEDIA_TYPE",
    "Body",
    "Description",
    "ImageTensor",
    "ReceivedViews",
    "batch_tensors",
    "decode",
    "decode_batch",
    "dtype_name",
    "encode",
    "encode_batch",
    "fields_to_tensors",
    "formed",
    "is_fields",
    "most_field_bytes",
    "most_values",
    "tensors_of",
]
