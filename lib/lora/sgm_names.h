#pragma once

#include <optional>
#include <string>

namespace wshare {

// Returns what diffusers calls the module that Stability's own U-Net (SD 1 and 2, SDXL: two layers
// in each block) calls `name`, or nothing where it is no such name. Both with '_' for each '.':
//
//   input_blocks_4_1_proj_in  down_blocks_1_attentions_0_proj_in
//   output_blocks_2_2_conv    up_blocks_0_upsamplers_0_conv
std::optional<std::string> diffusers_name(const std::string& name);

}  // namespace wshare
