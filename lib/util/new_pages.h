#pragma once

#include <cstddef>
#include <fstream>
#include <span>
#include <vector>

namespace wshare {

// Returns for each page of `bytes`, which lie in one map, whether this process has it in memory;
// where the system does not tell, none. The first page is the one that `bytes` begin in.
// Source: Linux, admin-guide/mm/pagemap.
std::vector<bool> resident_pages(std::span<const std::byte> bytes);

// Pages of mapped files that come into memory from now on: what is read once, among what others
// read all the time.
class NewPages {
 public:
  NewPages();

  // Notes what is in memory of `bytes`, a piece of a map, which must outlive this.
  void watch(std::span<const std::byte> bytes);

  // Gives back all pages of what is watched that were not in memory then. Who needs them fetches
  // them from the file again.
  void drop() const;

 private:
  struct Piece {
    std::span<const std::byte> bytes;
    std::vector<bool> was_resident;
  };
  std::ifstream pages_;
  std::vector<Piece> pieces_;
};

}  // namespace wshare
