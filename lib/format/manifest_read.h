#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "format/manifest.h"

namespace wshare {

// Parts of manifest.json. All throw Error(kInvalid) or nlohmann::json::exception if the text holds
// something else.
using Json = nlohmann::ordered_json;

// nlohmann converts numbers silently (-1 to 2^64-1, 1.5 to 1): sizes must be written as what they
// are.
uint64_t read_number(const Json& json, uint64_t largest = (uint64_t{1} << 63) - 1);

// Returns the list under `key`; nlohmann walks null and objects like lists.
const Json& read_list(const Json& json, const char* key);

std::vector<int64_t> read_shape(const Json& json);  // under "shape"
int32_t read_dtype(const Json& json);               // under "dtype"; one that this version knows

// Returns the indices of blobs under `key`, which may be absent.
std::vector<uint32_t> read_blob_numbers(const Json& json, const char* key,
                                        const Manifest& manifest);

// The extent lies in its blob, which `manifest` has already.
Extent read_extent(const Json& json, const Manifest& manifest);

SourceRecord read_source(const Json& json, const Manifest& manifest);

// Reads a task; `manifest` has its blobs, its models and the tasks before it.
TaskRecord read_task(const Json& json, const Manifest& manifest);

}  // namespace wshare
