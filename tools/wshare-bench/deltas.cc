#include "deltas.h"

#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "format/codec/residual.h"
#include "format/codec/residual_estimate.h"
#include "format/dtype.h"
#include "format/safetensors.h"
#include "util/as_text.h"
#include "util/mapped_file.h"

namespace {

using Bytes = std::span<const std::byte>;

// Of this thread: other work on the machine does not count.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// A tensor of both files, as a matrix.
struct Pair {
  int32_t dtype;
  uint64_t rows, cols;
  Bytes base, task;
};

struct Figures {
  double coded = 0, raw = 0, encode = 0, decode = 0;
};

struct Coder {
  const char* name;
  std::function<std::string(const Pair&)> encode;
  std::function<void(const Pair&, const std::string&, std::span<std::byte>)> decode;
};

wshare::Prediction prediction_of(const Pair& pair) {
  return {pair.dtype, pair.rows,
          pair.cols,  wshare::MatrixView{pair.base, pair.dtype, pair.rows, pair.cols, false},
          1,          {},
          {}};
}

std::string encode_residual(const Pair& pair) {
  std::string coded;
  wshare::encode_residual(prediction_of(pair), pair.task,
                          [&](Bytes bytes) { coded += wshare::as_text(bytes); });
  return coded;
}

void decode_residual(const Pair& pair, const std::string& coded, wshare::LaneForm form,
                     std::span<std::byte> out) {
  const wshare::ResidualReader reader(prediction_of(pair), std::as_bytes(std::span(coded)), form);
  for (size_t i = 0; i < reader.block_count(); ++i)
    reader.read_block(i, out.subspan(i * wshare::kResidualBlock, reader.block_bytes(i)));
}

std::string compress(Bytes bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

void decompress(const std::string& coded, std::span<std::byte> out) {
  if (ZSTD_decompress(out.data(), out.size(), coded.data(), coded.size()) != out.size())
    throw std::runtime_error("zstd");
}

// XOR with the base, rotated so that the sign is the lowest bit, then byte by byte of the elements:
// what BitX does before zstd.
template <typename Bits>
std::vector<std::byte> split(const Pair& pair) {
  const size_t count = pair.task.size() / sizeof(Bits);
  std::vector<std::byte> planes(pair.task.size());
  for (size_t i = 0; i < count; ++i) {
    Bits before, after;
    std::memcpy(&before, pair.base.data() + i * sizeof(Bits), sizeof(Bits));
    std::memcpy(&after, pair.task.data() + i * sizeof(Bits), sizeof(Bits));
    const auto changed = static_cast<Bits>(before ^ after);
    const auto turned = static_cast<Bits>(changed << 1 | changed >> (sizeof(Bits) * 8 - 1));
    for (size_t byte = 0; byte < sizeof(Bits); ++byte)
      planes[byte * count + i] = static_cast<std::byte>(turned >> 8 * byte);
  }
  return planes;
}

template <typename Bits>
void join(const Pair& pair, const std::string& coded, std::span<std::byte> out) {
  const size_t count = out.size() / sizeof(Bits);
  std::vector<std::byte> planes(out.size());
  decompress(coded, planes);
  for (size_t i = 0; i < count; ++i) {
    Bits turned = 0, before;
    for (size_t byte = 0; byte < sizeof(Bits); ++byte) {
      const auto part = std::to_integer<Bits>(planes[byte * count + i]);
      turned = static_cast<Bits>(turned | part << 8 * byte);
    }
    std::memcpy(&before, pair.base.data() + i * sizeof(Bits), sizeof(Bits));
    const auto changed = static_cast<Bits>(turned >> 1 | turned << (sizeof(Bits) * 8 - 1));
    const auto after = static_cast<Bits>(before ^ changed);
    std::memcpy(out.data() + i * sizeof(Bits), &after, sizeof(Bits));
  }
}

bool is_half(const Pair& pair) { return wshare::float_format(pair.dtype)->size == 2; }

std::vector<Coder> coders() {
  using wshare::LaneForm;
  std::vector<Coder> all;
  const std::pair<const char*, LaneForm> forms[] = {{"wshare", wshare::best_lane_form()},
                                                    {"  decoded with AVX2", LaneForm::kAvx2},
                                                    {"  decoded portably", LaneForm::kScalar}};
  for (const auto& [name, form] : forms) {
    if (!wshare::has_lane_form(form)) continue;
    all.push_back(
        {name, encode_residual,
         [form = form](const Pair& pair, const std::string& coded, std::span<std::byte> out) {
           decode_residual(pair, coded, form, out);
         }});
  }
  all.push_back({"XOR, byte split, zstd -3",
                 [](const Pair& pair) {
                   return compress(is_half(pair) ? split<uint16_t>(pair) : split<uint32_t>(pair));
                 },
                 [](const Pair& pair, const std::string& coded, std::span<std::byte> out) {
                   if (is_half(pair))
                     join<uint16_t>(pair, coded, out);
                   else
                     join<uint32_t>(pair, coded, out);
                 }});
  all.push_back({"zstd -3, no base", [](const Pair& pair) { return compress(pair.task); },
                 [](const Pair&, const std::string& coded, std::span<std::byte> out) {
                   decompress(coded, out);
                 }});
  return all;
}

std::vector<Pair> pairs_of(const wshare::SafetensorsFile& base,
                           const wshare::SafetensorsFile& task) {
  std::map<std::string, const wshare::NamedTensor*> names;
  for (const wshare::NamedTensor& tensor : base.tensors) names[tensor.name] = &tensor;
  std::vector<Pair> pairs;
  for (const wshare::NamedTensor& tensor : task.tensors) {
    const auto found = names.find(tensor.name);
    const auto format = wshare::float_format(tensor.dtype);
    if (found == names.end() || !format || format->size > 4 || tensor.bytes.empty()) continue;
    if (found->second->dtype != tensor.dtype || found->second->shape != tensor.shape) continue;
    const uint64_t count = tensor.bytes.size() / format->size;
    const uint64_t rows = tensor.shape.empty() ? 1 : static_cast<uint64_t>(tensor.shape[0]);
    pairs.push_back({tensor.dtype, rows, count / rows, found->second->bytes, tensor.bytes});
  }
  if (pairs.empty())
    throw std::runtime_error("the files have no float tensor of one name and shape");
  return pairs;
}

// The shortest of `repeat` times.
Figures measure(const Coder& coder, const std::vector<Pair>& pairs, unsigned repeat) {
  Figures figures;
  for (const Pair& pair : pairs) {
    std::string coded;
    std::vector<std::byte> task(pair.task.size());
    double encode = 1e9, decode = 1e9;
    for (unsigned i = 0; i < repeat; ++i) {
      double start = cpu_seconds();
      coded = coder.encode(pair);
      encode = std::min(encode, cpu_seconds() - start);
      start = cpu_seconds();
      coder.decode(pair, coded, task);
      decode = std::min(decode, cpu_seconds() - start);
    }
    if (!std::ranges::equal(task, pair.task))
      throw std::runtime_error("a tensor did not come back");
    figures.coded += static_cast<double>(coded.size());
    figures.raw += static_cast<double>(task.size());
    figures.encode += encode;
    figures.decode += decode;
  }
  return figures;
}

void compare(const std::string& base_path, const std::string& task_path, unsigned repeat) {
  const wshare::MappedFile base = wshare::MappedFile::open(base_path);
  const wshare::MappedFile task = wshare::MappedFile::open(task_path);
  const wshare::SafetensorsFile before = wshare::read_safetensors(base.bytes());
  const wshare::SafetensorsFile after = wshare::read_safetensors(task.bytes());
  const std::vector<Pair> pairs = pairs_of(before, after);
  double estimate = 0;
  for (const Pair& pair : pairs)
    estimate += static_cast<double>(wshare::estimate_residual(prediction_of(pair), pair.task));
  for (const Coder& coder : coders()) {
    const Figures f = measure(coder, pairs, repeat);
    std::printf("  %-26s %6.2f %%  %6.2f GB/s  %6.2f GB/s", coder.name, 100 * f.coded / f.raw,
                f.raw / f.encode / 1e9, f.raw / f.decode / 1e9);
    if (estimate >= 0) std::printf("  (estimated %.2f %%)", 100 * estimate / f.raw);
    estimate = -1;
    std::printf("\n");
  }
}

}  // namespace

void add_deltas_command(CLI::App& app) {
  struct Options {
    std::string base, task;
    unsigned repeat = 3;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "deltas", "What a fine-tune takes beside its base, and the CPU time of one thread.");
  command->add_option("BASE", options->base, "A safetensors file")->required();
  command->add_option("TASK", options->task, "Another, with tensors of the same names")->required();
  command->add_option("--repeat", options->repeat, "The shortest of so many times");
  command->callback([=] { compare(options->base, options->task, options->repeat); });
}
