#include "lora/kohya_keys.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "lora/sgm_names.h"

namespace wshare {
namespace {

struct Prefix {
  std::string_view text, part;
  bool flat;
};

constexpr std::array kPrefixes = {
    Prefix{"lora_unet_", "unet", true},
    Prefix{"lora_te_", "text_encoder", true},
    Prefix{"lora_te1_", "text_encoder", true},
    Prefix{"lora_te2_", "text_encoder_2", true},
    Prefix{"lora_te3_", "text_encoder_3", true},
    Prefix{"lora_transformer_", "transformer", true},
    Prefix{"lycoris_", "", true},
    Prefix{"unet.", "unet", false},
    Prefix{"diffusion_model.", "unet", false},
    Prefix{"text_encoder.", "text_encoder", false},
    Prefix{"text_encoder_2.", "text_encoder_2", false},
    Prefix{"text_encoder_3.", "text_encoder_3", false},
    Prefix{"transformer.", "transformer", false},
};

struct Suffix {
  std::string_view text, role;
};

constexpr std::string_view kOldDown = "_lora.down.weight", kOldUp = "_lora.up.weight";

constexpr std::array kSuffixes = {
    Suffix{".lora_down.weight", "down"},
    Suffix{".lora_up.weight", "up"},
    Suffix{".lora_mid.weight", "mid"},
    Suffix{".lora_A.weight", "down"},
    Suffix{".lora_B.weight", "up"},
    Suffix{".lora.down.weight", "down"},
    Suffix{".lora.up.weight", "up"},
    Suffix{".lora_linear_layer.down.weight", "down"},
    Suffix{".lora_linear_layer.up.weight", "up"},
    Suffix{kOldDown, "down"},
    Suffix{kOldUp, "up"},
    Suffix{".alpha", "alpha"},
    Suffix{".hada_w1_a", "hada_w1_a"},
    Suffix{".hada_w1_b", "hada_w1_b"},
    Suffix{".hada_w2_a", "hada_w2_a"},
    Suffix{".hada_w2_b", "hada_w2_b"},
    Suffix{".hada_t1", "hada_t1"},
    Suffix{".hada_t2", "hada_t2"},
    Suffix{".lokr_w1", "lokr_w1"},
    Suffix{".lokr_w1_a", "lokr_w1_a"},
    Suffix{".lokr_w1_b", "lokr_w1_b"},
    Suffix{".lokr_w2", "lokr_w2"},
    Suffix{".lokr_w2_a", "lokr_w2_a"},
    Suffix{".lokr_w2_b", "lokr_w2_b"},
    Suffix{".lokr_t2", "lokr_t2"},
};

// Replaces `end` of `path` by `by`, if it ends so.
bool replace_end(std::string& path, std::string_view end, std::string_view by) {
  if (!path.ends_with(end)) return false;
  path.replace(path.size() - end.size(), end.size(), by);
  return true;
}

// Before PEFT, diffusers kept the factors of attention in its processor, under names of its own:
// attn1.processor.to_out_lora; also those of text encoders, whose layers are called otherwise.
void rename_old(KohyaKey& key) {
  if (!key.part.starts_with("text_encoder")) {
    replace_end(key.path, ".to_out", ".to_out.0");
    return;
  }
  for (const auto& [old, by] :
       {Suffix{".to_q", ".q_proj"}, {".to_k", ".k_proj"}, {".to_v", ".v_proj"}}) {
    if (replace_end(key.path, old, by)) return;
  }
  replace_end(key.path, ".to_out", ".out_proj");
}

void rename_module(KohyaKey& key, bool old) {
  constexpr std::string_view kProcessor = ".processor.";
  const size_t processor = key.path.find(kProcessor);
  if (!key.flat && processor != key.path.npos) key.path.replace(processor, kProcessor.size(), ".");
  if (!key.flat && old) rename_old(key);
  if (key.part != "unet") return;
  std::string flat = key.path;
  std::replace(flat.begin(), flat.end(), '.', '_');
  if (const std::optional<std::string> name = diffusers_name(flat)) {
    key.path = *name;
    key.flat = true;
  }
}

}  // namespace

std::optional<KohyaKey> parse_kohya_key(const std::string& name) {
  const auto suffix = std::find_if(kSuffixes.begin(), kSuffixes.end(),
                                   [&](const Suffix& each) { return name.ends_with(each.text); });
  if (suffix == kSuffixes.end()) return std::nullopt;
  KohyaKey key;
  key.role = suffix->role;
  key.path = name.substr(0, name.size() - suffix->text.size());
  for (const Prefix& prefix : kPrefixes) {
    if (!key.path.starts_with(prefix.text)) continue;
    key.path.erase(0, prefix.text.size());
    key.part = prefix.part;
    key.flat = prefix.flat;
    break;
  }
  if (key.path.empty()) return std::nullopt;
  rename_module(key, suffix->text == kOldDown || suffix->text == kOldUp);
  return key;
}

std::string_view text_of_foreign_key(std::string_view name) {
  struct Kind {
    std::string_view part, text;
  };
  constexpr std::array kKinds = {
      Kind{"dora_scale", "a magnitude of DoRA"},
      Kind{"lora_magnitude_vector", "a magnitude of DoRA"},
      Kind{".diff", "a whole difference"},
      Kind{"_norm", "a normalisation that was trained whole"},
      Kind{".oft_", "of OFT, which multiplies weights"},
      Kind{".rescale", "of OFT, which multiplies weights"},
      Kind{".on_input", "of (IA)3, which multiplies weights"},
      Kind{".a1.weight", "of GLoRA"},
      Kind{".a2.weight", "of GLoRA"},
      Kind{".b1.weight", "of GLoRA"},
      Kind{".b2.weight", "of GLoRA"},
      Kind{"bundle_emb", "an embedding of words"},
      Kind{".bias", "a bias"},
  };
  for (const Kind& kind : kKinds) {
    if (name.find(kind.part) != name.npos) return kind.text;
  }
  return "no factor that is known";
}

}  // namespace wshare
