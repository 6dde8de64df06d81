// Greedy decoding with an encoder, a decoder and a decoder with past, over one copy of the weights:
// seq2seq BUNDLE STEPS TOKEN...
#include <wshare/runtime.h>

#include <algorithm>
#include <iostream>
#include <map>

using Values = std::map<std::string, Ort::Value>;

// Runs `session` on those of `values` that are its inputs, and adds its outputs to them. What one
// step gives as "present" is the "past_key_values" of the next.
static void run(Ort::Session& session, Values& values) {
  Ort::IoBinding binding(session);
  for (auto& name : session.GetInputNames()) binding.BindInput(name.c_str(), values.at(name));
  std::vector<std::string> names = session.GetOutputNames();
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  for (auto& name : names) binding.BindOutput(name.c_str(), memory);
  session.Run(Ort::RunOptions(), binding);
  std::vector<Ort::Value> outputs = binding.GetOutputValues();
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].starts_with("present")) names[i].replace(0, 7, "past_key_values");
    values.insert_or_assign(names[i], std::move(outputs[i]));
  }
}

static Ort::Value tensor_of(const std::vector<int64_t>& tokens) {
  const int64_t shape[] = {1, static_cast<int64_t>(tokens.size())};
  Ort::AllocatorWithDefaultOptions heap;
  Ort::Value value = Ort::Value::CreateTensor<int64_t>(heap, shape, 2);
  std::copy(tokens.begin(), tokens.end(), value.GetTensorMutableData<int64_t>());
  return value;
}

static int64_t most_likely(Ort::Value& logits, int64_t last) {  // no token comes twice in a row
  std::vector<int64_t> shape = logits.GetTensorTypeAndShapeInfo().GetShape();
  float* scores = logits.GetTensorMutableData<float>() + (shape[1] - 1) * shape[2];
  scores[last] = -1e9F;
  return std::max_element(scores, scores + shape[2]) - scores;
}

int main(int argc, char** argv) {
  if (argc < 4) return std::cerr << "usage: seq2seq BUNDLE STEPS TOKEN...\n", 2;
  std::vector<int64_t> source, ones(static_cast<size_t>(argc) - 3, 1);
  for (int i = 3; i < argc; ++i) source.push_back(std::stoll(argv[i]));
  wshare::Bundle bundle = wshare::Bundle::open(argv[1]);
  wshare::Session encoder = bundle.session("encoder"), first = bundle.session("decoder"),
                  next = bundle.session("decoder_with_past");
  Values values;
  values.emplace("input_ids", tensor_of(source));
  values.emplace("attention_mask", tensor_of(ones));
  values.emplace("encoder_attention_mask", tensor_of(ones));
  run(*encoder, values);
  values.emplace("encoder_hidden_states", std::move(values.at("last_hidden_state")));
  int64_t token = 0;  // T5 starts with its padding token
  for (int step = std::stoi(argv[2]); step > 0; --step) {
    values.insert_or_assign("decoder_input_ids", tensor_of({token}));
    run(values.contains("logits") ? *next : *first, values);
    std::cout << (token = most_likely(values.at("logits"), token)) << (step > 1 ? ' ' : '\n');
  }
  for (auto& model : bundle.report().models)
    std::cout << model.model << ": " << model.shared_bytes << " bytes of one copy\n";
}
