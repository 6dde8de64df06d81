#include <wshare/runtime.h>

#include <cstring>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) return std::cerr << "usage: tasks BUNDLE BASE\n", 2;
  wshare::Bundle bundle = wshare::Bundle::open(argv[1]);
  wshare::TaskSession session = bundle.task_session(argv[2]);
  std::vector<std::string> input_names = session.session().GetInputNames();
  std::string output_name = session.session().GetOutputNames().at(0);
  std::vector<const char*> names;
  std::vector<Ort::Value> inputs;  // zeros
  Ort::AllocatorWithDefaultOptions heap;
  for (size_t i = 0; i < input_names.size(); ++i) {
    Ort::TypeInfo type = session.session().GetInputTypeInfo(i);
    auto info = type.GetTensorTypeAndShapeInfo();
    std::vector<int64_t> dims = info.GetShape();
    for (int64_t& dim : dims) dim = dim < 0 ? 1 : dim;  // -1 stands for any size
    inputs.push_back(Ort::Value::CreateTensor(heap, dims.data(), dims.size(), info.GetElementType()));
    std::memset(inputs.back().GetTensorMutableRawData(), 0, inputs.back().GetTensorSizeInBytes());
    names.push_back(input_names[i].c_str());
  }
  const char* output = output_name.c_str();
  for (const std::string& task : session.tasks()) {  // one session, another adapter for each run
    auto outputs = session.run(task, names.data(), inputs.data(), inputs.size(), &output, 1);
    std::cout << task << ": " << outputs[0].GetTensorSizeInBytes() << " bytes\n";
  }
}
