#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace wshare {

// The name of a tensor in an adapter of an image model, taken apart:
//
//   kohya      lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight
//   LyCORIS    lora_te_text_model_encoder_layers_0_mlp_fc1.hada_w1_a
//   diffusers  unet.down_blocks.0.attentions.0.proj_in.lora_A.weight
struct KohyaKey {
  // The model of the pipeline, called like its folder in diffusers: "unet", "text_encoder"; ""
  // where the name does not say it.
  std::string part;
  std::string path;   // of the module, as diffusers and transformers call it
  bool flat = false;  // with '_' for each '.' in it
  // What the tensor is to its module: "down", "up", "mid", "alpha", "hada_w1_a", "lokr_w2_b", ...
  std::string_view role;
};

// Returns the parts of `name`, or nothing where it ends in none of the roles. What Stability's own
// U-Net calls input_blocks_4_1_..., as kohya does for SDXL, gets its name in diffusers.
//
// Source: sd-scripts networks/lora.py, LyCORIS 4.1 modules, diffusers 0.42 state_dict_utils.py and
// lora_conversion_utils.py.
std::optional<KohyaKey> parse_kohya_key(const std::string& name);

// What the tensor `name`, which has no role that is known, is: "a magnitude of DoRA".
std::string_view text_of_foreign_key(std::string_view name);

}  // namespace wshare
