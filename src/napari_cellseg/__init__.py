"""Train networks on annotated micrographs, segment, correct: napari plugin, command line, API."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["CellsegError"],
        "formats.coordinates": ["read_coordinates", "write_coordinates"],
        "images.annotation": ["Annotation", "Classes"],
        "images.coordinates": ["Coordinates"],
        "images.crops": ["Crops", "read_crops"],
        "images.filament": ["Filament"],
        "images.micrographs": ["Image", "read_image"],
        "images.project": ["Project"],
        "nets.classifier_spec": ["Classifier", "ClassifierSpec"],
        "nets.model": ["Model", "ModelSpec", "load_model", "read_spec"],
        "objects.instances": ["find_instances", "find_instances_blockwise"],
        "predict.chain": ["apply_chain", "parse_chain"],
        "predict.classify": ["classify"],
        "predict.explain": ["explain"],
        "predict.segment": ["labels_from", "segment", "segment_with_uncertainty"],
        "settings": [
            "ClassifierSettings",
            "ClassifySettings",
            "ExportSettings",
            "InstanceSettings",
            "SegmentSettings",
            "TrainSettings",
        ],
        "train.classify": ["train_classifier"],
        "train.segment": ["train"],
    },
)
