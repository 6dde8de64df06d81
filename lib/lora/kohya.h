#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "format/safetensors.h"
#include "lora/low_rank_product.h"
#include "util/mapped_file.h"

namespace wshare {

// One module of an adapter of an image model: its weight, as [out, in x kernel], becomes W +
// scaling · delta.
struct KohyaModule {
  std::string part;      // see KohyaKey
  std::string path;      // of the module
  bool flat = false;     // '_' stands for '.' in it
  LowRankProduct delta;  // borrows from the file
  double scaling = 1;    // alpha / rank of the stored factors
};

// Returns the modules of the adapter `file` that kohya's sd-scripts, LyCORIS (LoRA, LoCon, LoHa,
// LoKr) or diffusers saved, by part and path, each once.
//
// Alpha is that of the module's own tensor, or of the configuration that diffusers writes into the
// file's metadata; where there is neither, it is the rank.
//
// Throws Error(kUnsupported) if a tensor belongs to another method (the message says which);
// Error(kInvalid) if there is no module, one lacks a
// factor, has one too many, or shapes, types and alpha do not fit.
std::vector<KohyaModule> read_kohya_modules(const SafetensorsFile& file);

// An adapter that is one file.
struct KohyaAdapter {
  MappedFile file;  // that the factors lie in
  std::vector<KohyaModule> modules;
};

// Throws what reading does; the message begins with the file's name.
KohyaAdapter load_kohya_adapter(const std::filesystem::path& path);

}  // namespace wshare
