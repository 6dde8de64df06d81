#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "format/named_tensor.h"

namespace wshare {

// A safetensors file: the size of a JSON header, the header, and the bytes of all tensors without
// any gap. Source: the format's own description and reference implementation (safetensors 0.8).

struct SafetensorsFile {
  std::vector<NamedTensor> tensors;             // in the order of their bytes
  std::map<std::string, std::string> metadata;  // of "__metadata__"
};

// Returns what the safetensors file whose bytes are `file` holds; the tensors borrow from it, at
// any address.
//
// Throws Error(kInvalid) if the header is over 100 MB, does not start with '{', is no JSON, has a
// key twice or one that the format does not know, or if the tensors do not cover the rest of the
// file, each with the size of its shape, without gap and overlap. Throws Error(kUnsupported) if an
// element type is none of ONNX's.
SafetensorsFile read_safetensors(std::span<const std::byte> file);

// What stands where in a safetensors file.
struct SafetensorsLayout {
  std::string head;           // size of the header, header, padding
  std::vector<size_t> order;  // indices of the tensors as their bytes follow
  uint64_t size = 0;          // of the file, in bytes
};

// Returns the layout of a file with these tensors; their bytes are not looked at.
//
// The same as the reference implementation's: largest elements first, then by name, the header
// padded to 8 bytes. Throws Error(kInvalid) if a name is given twice, is "__metadata__" or no
// UTF-8, or a shape is too large; Error(kUnsupported) if the format has no such element type or the
// header would be over 100 MB.
SafetensorsLayout lay_out_safetensors(std::span<const NamedTensor> tensors,
                                      const std::map<std::string, std::string>& metadata);

// Writes the file with this layout to `sink`, the bytes of the tensors straight from their spans.
//
// Throws Error(kInvalid) if the bytes of a tensor are not what its shape needs.
void write_safetensors(const SafetensorsLayout& layout, std::span<const NamedTensor> tensors,
                       const ByteSink& sink);

}  // namespace wshare
