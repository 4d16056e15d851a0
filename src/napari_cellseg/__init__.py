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
        "nets.export": ["export_model"],
        "nets.model": ["Model", "ModelSpec", "load_model", "read_spec"],
        "objects.boxes": ["cut_boxes"],
        "objects.contamination": ["find_contamination"],
        "objects.filaments": ["instance_labels", "trace"],
        "objects.instances": ["find_instances", "find_instances_blockwise"],
        "objects.points": ["find_points"],
        "objects.site_filters": ["find_sites", "learn_sites"],
        "objects.straighten": ["straighten"],
        "predict.chain": ["apply_chain", "parse_chain"],
        "predict.classify": ["classify"],
        "predict.explain": ["explain"],
        "predict.labels": ["labels_from"],
        "predict.segment": ["segment", "segment_with_uncertainty"],
        "settings": [
            "ClassifierSettings",
            "ClassifySettings",
            "CompressSettings",
            "ExportSettings",
            "InstanceSettings",
            "SegmentSettings",
            "TrainSettings",
        ],
        "train.classify": ["train_classifier"],
        "train.compress": ["compress"],
        "train.segment": ["train"],
    },
)
