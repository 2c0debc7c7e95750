"""Datasets with masks, boxes and keypoints, read by a loader's own threads.

Each is a `torch.utils.data.Dataset` of samples `(image, target)`. Boxes are xyxy in edges of the
image, in pixels, whatever the files have.
"""

from augfeed.datasets.annotated_images import AnnotatedImages as AnnotatedImages
from augfeed.datasets.cityscapes import Cityscapes as Cityscapes
from augfeed.datasets.coco import CocoDetection as CocoDetection
from augfeed.datasets.coco import CocoKeypoints as CocoKeypoints
from augfeed.datasets.huggingface import HuggingFaceDetection as HuggingFaceDetection
from augfeed.datasets.huggingface import HuggingFaceSegmentation as HuggingFaceSegmentation
from augfeed.datasets.mask_folder import MaskFolder as MaskFolder
from augfeed.datasets.shards import ShardDetection as ShardDetection
from augfeed.datasets.shards import ShardSegmentation as ShardSegmentation
from augfeed.datasets.voc import VOCDetection as VOCDetection
from augfeed.datasets.voc import VOCSegmentation as VOCSegmentation
from augfeed.datasets.yolo import YOLODetection as YOLODetection
