#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "format/named_tensor.h"

namespace wshare {

// ONNX Runtime's .onnx_adapter: a FlatBuffer that holds the parameters which a run adds to a
// model's inputs. Its fields are described in adapter_file.cc.

// What stands where in an .onnx_adapter.
struct AdapterLayout {
  std::string head;               // all that precedes the first parameter's length and bytes
  std::vector<uint64_t> offsets;  // [parameter]: of its bytes in the file, a multiple of 64
  uint64_t size = 0;              // of the file, in bytes
};

// Returns the layout of a file with these parameters, in this order; their bytes are not looked at.
//
// Equal parameters give an equal layout. Throws Error(kInvalid) if a name is empty or given twice,
// or a shape is empty or too large; Error(kUnsupported) if ONNX Runtime takes no parameters of such
// a type, or the file would not stay below 2 GiB.
AdapterLayout lay_out_adapter(std::span<const NamedTensor> parameters);

// Writes the file with this layout to `sink`, the bytes of the parameters straight from their
// spans.
//
// Throws Error(kInvalid) if the bytes of a parameter are not what its shape needs.
void write_adapter(const AdapterLayout& layout, std::span<const NamedTensor> parameters,
                   const ByteSink& sink);

// Returns the parameters of the .onnx_adapter whose bytes are `file`, in the order of the file.
//
// They borrow from `file`, which must lie at a multiple of 8 in memory, as maps and heap blocks do.
// Throws Error(kInvalid) if it is no such file or breaks a rule of lay_out_adapter(),
// Error(kUnsupported) if it has another format version or reaches 2 GiB.
std::vector<NamedTensor> read_adapter(std::span<const std::byte> file);

}  // namespace wshare
