#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace wshare {

// Memory for decoded tensors; move-only. Small pieces lie on the heap, large ones in unlinked
// temporary files, so that anonymous memory does not grow with the weights. All pieces live as long
// as the object.
class Scratch {
 public:
  Scratch() = default;
  Scratch(Scratch&&) noexcept = default;
  Scratch& operator=(Scratch&&) noexcept = default;

  // Returns `size` writable zero bytes. Throws Error(kIo) if the temporary file cannot be made.
  std::span<std::byte> allocate(size_t size);

 private:
  struct Unmap {
    size_t size;
    void operator()(std::byte* data) const;
  };
  std::vector<std::unique_ptr<std::byte[]>> heap_;
  std::vector<std::unique_ptr<std::byte, Unmap>> files_;
};

}  // namespace wshare
