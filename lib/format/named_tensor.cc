#include "format/named_tensor.h"

#include "format/dtype.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t dim : shape) text += (text.size() > 1 ? "," : "") + std::to_string(dim);
  return text + "]";
}

}  // namespace

bool holds_floats(const NamedTensor& tensor) {
  return tensor.dtype == 1 || tensor.dtype == 10 || tensor.dtype == 16 || tensor.dtype == 11;
}

uint64_t needed_bytes(const NamedTensor& tensor) {
  const std::optional<Dtype> dtype = find_dtype(tensor.dtype);
  if (!dtype || dtype->bits == 0) {
    throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": has element type " +
                                         std::to_string(tensor.dtype) + ", which has no size");
  }
  const std::optional<uint64_t> size = byte_size(*dtype, tensor.shape);
  if (!size) {
    throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": shape " +
                                         shape_text(tensor.shape) + " is negative or too large");
  }
  return *size;
}

void check_size(const NamedTensor& tensor, uint64_t size) {
  const uint64_t needed = needed_bytes(tensor);
  if (size == needed) return;
  throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": has " + std::to_string(size) +
                                       " bytes, shape " + shape_text(tensor.shape) + " needs " +
                                       std::to_string(needed));
}

}  // namespace wshare
