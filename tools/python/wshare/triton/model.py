"""Triton's Python-based backend "wshare": sessions over the one copy of a bundle's weights.

A model of the repository is config.pbtxt and a version folder that leads into the bundle
('wshare export triton'). Parameters: "model" and "task" (default: the model's name, none),
"bundle" (a folder; default: where the version folder leads), "packed" ("yes": over a pack or not at
all), "threads" (of each instance; default: as ONNX Runtime likes). Each instance is a process; what
they share are pages of the bundle's files.
"""

import json
import os

import numpy
import triton_python_backend_utils as pb_utils
import wshare


def bundle_of(parameters, args):
    """The bundle's folder, also where only its files, or a part of them, are linked."""
    if "bundle" in parameters:
        return parameters["bundle"]
    version = os.path.realpath(os.path.join(args["model_repository"], args["model_version"]))
    if os.path.exists(os.path.join(version, "manifest.json")):
        return version
    for name in sorted(os.listdir(version)):
        folder = os.path.dirname(os.path.realpath(os.path.join(version, name)))
        if os.path.exists(os.path.join(folder, "manifest.json")):
            return folder
    raise pb_utils.TritonModelException(
        f"{args['model_name']}: '{version}' leads to no bundle; give it as the parameter 'bundle'")


def options_of(parameters):
    if "threads" not in parameters:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(parameters["threads"])
    return options


def to_onnxruntime(array):
    """Texts are bytes in Triton and str in onnxruntime."""
    if array.dtype.kind not in "OS":
        return array
    return numpy.array([text.decode() for text in array.ravel()], dtype=object).reshape(array.shape)


def to_triton(array):
    array = numpy.asarray(array)
    if array.dtype.kind not in "OU":
        return numpy.ascontiguousarray(array)
    return numpy.array([str(text).encode() for text in array.ravel()], dtype=object).reshape(array.shape)


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return config  # export writes all of it

    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        self.inputs = [each["name"] for each in config["input"]]
        self.outputs = [each["name"] for each in config["output"]]
        name, self.task = parameters.get("model", args["model_name"]), parameters.get("task", "")
        try:
            bundle = wshare.Bundle(bundle_of(parameters, args))
            options = options_of(parameters)
            if self.task:
                self.tasks = bundle.tasks(name, options)
            else:
                self.session = bundle.session(name, options)
            how = bundle.how(name)
        except wshare.Error as error:
            raise pb_utils.TritonModelException(f"{error.message} ({error.hint})" if error.hint else error.message)
        if parameters.get("packed") == "yes" and how.way != "packed":
            raise pb_utils.TritonModelException(f"{name}: no pack can be used: {how.why}")
        pb_utils.Logger.log_info(f"wshare: {args['model_name']}: {how.way}, {how.file}, ONNX Runtime {how.onnxruntime}")

    def run(self, request):
        feeds = {}
        for name in self.inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is not None:
                feeds[name] = to_onnxruntime(tensor.as_numpy())
        if self.task:
            values = self.tasks.run(self.task, feeds, self.outputs)
        else:
            values = self.session.run(self.outputs, feeds)
        return [pb_utils.Tensor(name, to_triton(value)) for name, value in zip(self.outputs, values)]

    def execute(self, requests):
        responses = []
        for request in requests:
            try:
                responses.append(pb_utils.InferenceResponse(self.run(request)))
            except Exception as error:  # of one request; the others are answered
                responses.append(pb_utils.InferenceResponse([], pb_utils.TritonError(str(error))))
        return responses
