// A manifest, which is sealed here: what is read is written as the same, by the same names, and
// what commands work out of it does not fail in other ways.

#include "format/manifest/index.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "fuzz/fuzz.h"
#include "remove/drop.h"
#include "verify/claims.h"

using namespace wshare;
using namespace wshare::fuzz;

namespace {

std::string sealed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (!text.empty() && text.back() == '}') text.pop_back();
  if (text.size() > 1) text += ",\n";
  text += "\"manifest_hash\": \"" + std::string(kSealDigits, '0') + std::string(kSealTail);
  return text.replace(seal_at(text), kSealDigits, seal_of(text));
}

// The loader's reader, which looks at one model of many.
void try_index(std::string_view text, const Manifest* whole) {
  const bool is_read = accepts([&] {
    const ManifestIndex index = index_manifest(text);
    for (size_t i = 0; i < index.models.size(); ++i) {
      const std::string name(index.models.name(i));
      const bool is_part = accepts([&] {
        const ModelPart part = read_model_part(text, index, name);
        const ModelRecord* model = whole == nullptr ? nullptr : model_called(*whole, name);
        expect(whole == nullptr || (model != nullptr && part.model.file == model->file &&
                                    part.model.tensors.size() == model->tensors.size()),
               "both readers read the same");
      });
      expect(is_part || whole == nullptr, "the loader reads what others read");
    }
  });
  expect(is_read || whole == nullptr, "the loader finds what others read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Exact text(sealed(Input(data, size).rest()));
  try_index(text.text(), nullptr);
  accepts([&] {
    const Manifest manifest = parse_manifest(text.text());
    try_index(text.text(), &manifest);
    const std::string written = to_json(manifest);
    expect(to_json(parse_manifest(written)) == written, "a manifest is read as it was written");
    claims_of(manifest);
    for (const ModelRecord& model : manifest.models) {
      accepts([&] { parse_manifest(to_json(drop_models(manifest, {model.name}).manifest)); });
      if (&model == &manifest.models[3]) break;
    }
  });
  return 0;
}
