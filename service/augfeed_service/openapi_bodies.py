"""What the OpenAPI document says of bodies that FastAPI does not read itself."""

from typing import Any

from augfeed.wire import MEDIA_TYPE, Description
from augfeed_service.problems import MEDIA_TYPE as PROBLEM

EXAMPLE = {
    "dataset": "flowers",
    "policy": {
        "operations": [
            {"op": "random_resized_crop", "size": 224},
            {"op": "horizontal_flip"},
        ]
    },
    "seed": 0, "batch_size": 256, "shuffle": True, "drop_last": True, "dtype": "uint8",
    "layout": "NCHW", "labels": "compact",
}  # fmt: skip
BINARY = {"schema": {"type": "string", "format": "binary"}}
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
_MAYBE_NUMBER = {"type": ["integer", "null"]}
_SHAPE = {"type": "array", "items": NUMBER, "minItems": 3, "maxItems": 3}
_NAMES = {"type": ["array", "null"], "items": TEXT}
SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object", "required": ["type", "title", "status", "detail", "instance"],
        "properties": {"type": TEXT, "title": TEXT, "status": NUMBER, "detail": TEXT,
                       "instance": TEXT, "expected_id": TEXT, "fingerprint": TEXT,
                       "images": {"type": "array", "items": {"type": "object"}}},
    },
    "Error": {"type": "object", "required": ["error"], "properties": {"error": TEXT},
              "additionalProperties": False},
    "Plan": {
        "type": "object",
        "required": ["id", "description", "fingerprint", "num_samples", "batches_per_epoch",
                     "num_classes", "classes", "image_shape", "softens", "fields", "tensors"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "description": {"type": "object"}, "fingerprint": TEXT, "num_samples": NUMBER,
            "batches_per_epoch": NUMBER, "num_classes": _MAYBE_NUMBER, "classes": _NAMES,
            "image_shape": _SHAPE,
            "softens": {"type": "boolean"},
            "fields": {"type": "object", "additionalProperties": {"type": "string"}},
            "tensors": {"type": "array", "minItems": 1, "items": {
                "type": "object", "required": ["name", "views", "shapes"], "properties": {
                    "name": TEXT, "views": NUMBER, "shapes": {"type": "array", "minItems": 1,
                    "items": {"type": "object", "required": ["epoch", "image_shape"], "properties":
                              {"epoch": NUMBER, "image_shape": _SHAPE}}}}}},
        },
    },
}  # fmt: skip
TEXTS = {
    400: "The request cannot be read", 401: "A key is needed", 403: "The key is not for this",
    404: "There is no such thing here; `unknown-plan`: register it",
    406: "Batches do not come in this format", 408: "The body took too long",
    409: "The id is not the hash of the description",
    412: "This replica makes other bytes", 413: "The request is too large",
    415: "Bodies of this type are not read", 422: "It cannot be carried out",
    429: "Too many at once", 500: "A file of the dataset cannot be read",
    503: "Busy: wait for `Retry-After` seconds",
}  # fmt: skip


def problems(*statuses: int) -> dict[int | str, Any]:
    """Return the answers that are errors, for a route; some come from every route."""
    return {
        status: {"description": TEXTS[status],
                 "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        for status in sorted({400, 401, 403, 413, 415, *statuses})
    }  # fmt: skip


def plan_answers(*statuses: int) -> dict[int | str, Any]:
    """Return the answers that are a plan, with what each of them means."""
    texts = {200: "The plan, which was known", 201: "The plan, which is known now"}
    schema = {"$ref": "#/components/schemas/Plan"}
    return {
        status: {"description": texts[status], "content": {"application/json": {"schema": schema}}}
        for status in statuses
    }


def answer(text: str, content: dict[str, Any]) -> dict[int | str, Any]:
    """Return a route's answer without an error: media types with schemas, None for bytes."""
    kinds = {kind: BINARY if schema is None else {"schema": schema}
             for kind, schema in content.items()}  # fmt: skip
    return {200: {"description": text, "content": kinds}}


def batch_answer(text: str) -> dict[int | str, Any]:
    """Return the answer that is a batch."""
    return {200: {"description": text,
                  "content": {MEDIA_TYPE: BINARY, "application/x-npz": BINARY}}}  # fmt: skip


def json_body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """Return the part of a route about its JSON body."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def description_body() -> dict[str, Any]:
    """Return the part about a body that is a description."""
    schema = Description.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    schema["properties"]["policy"] = {"type": "object", "properties": {"operations": {
        "type": "array", "items": {"type": "object", "required": ["op"],
                                   "properties": {"op": {"type": "string"}}}}}}  # fmt: skip
    return json_body(schema, EXAMPLE)


REQUEST = '{"policy": "random_resized_crop(224) | hflip", "seed": 7, "ids": [17]}'
PREVIEW = {"dataset": "flowers", "policy": "random_resized_crop(224) | hflip", "seed": 7,
           "epochs": [0, 1, 2], "indices": [0, 1, 2, 3]}  # fmt: skip


def images_body(preview: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the part about a body of images, or of a description of what is shown."""
    form = {
        "schema": {
            "type": "object", "required": ["images"],
            "properties": {
                "images": {
                    "type": "array", "minItems": 1, "description": "JPEG, PNG or WebP",
                    "items": {"type": "string", "contentMediaType": "image/*", "format": "binary"},
                },
                "request": {
                    "type": "string", "contentMediaType": "application/json", "example": REQUEST,
                    "description": "JSON: policy, seed, epoch, dtype, layout, num_classes, and "
                    "labels and ids of the images; or each in the query",
                },
            },
        },
        "encoding": {"request": {"contentType": "application/json"}},
    }  # fmt: skip
    tensors = {"schema": {
        "type": "string", "format": "binary",
        "description": "safetensors: images uint8 [N, H, W, C] or [N, C, H, W], labels, ids",
    }}  # fmt: skip
    content: dict[str, Any] = {"multipart/form-data": form, MEDIA_TYPE: tensors}
    if preview is not None:
        content = {"application/json": {"schema": preview, "example": PREVIEW}, **content}
    return {"requestBody": {"required": True, "content": content}}


def infer_body() -> dict[str, Any]:
    """Return the part about a request of KServe's protocol."""
    tensor = {
        "type": "object", "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"enum": ["IMAGES", "LABELS", "IDS"]}, "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "parameters": {"type": "object"}, "data": {"type": "array"},
        },
    }  # fmt: skip
    schema = {
        "type": "object", "required": ["inputs"],
        "properties": {
            "id": {"type": "string"}, "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": {
                "type": "object", "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}}}},
        },
    }  # fmt: skip
    example = {
        "inputs": [
            {"name": "IMAGES", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [*range(12)]},
            {"name": "LABELS", "shape": [1], "datatype": "INT64", "data": [3]},
        ],
        "parameters": {"seed": 7},
    }
    body = json_body(schema, example)
    body["requestBody"]["content"]["application/octet-stream"] = BINARY
    return body
