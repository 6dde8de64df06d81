#include "lora/sgm_names.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <string_view>
#include <utility>

namespace wshare {
namespace {

using Names = std::pair<std::string_view, std::string_view>;

constexpr std::array kWhole = {
    Names{"input_blocks_0_0", "conv_in"},
    Names{"time_embed_0", "time_embedding_linear_1"},
    Names{"time_embed_2", "time_embedding_linear_2"},
    Names{"label_emb_0_0", "add_embedding_linear_1"},
    Names{"label_emb_0_2", "add_embedding_linear_2"},
    Names{"out_2", "conv_out"},
};

constexpr std::array kInResnet = {
    Names{"in_layers_2", "conv1"},
    Names{"emb_layers_1", "time_emb_proj"},
    Names{"out_layers_3", "conv2"},
    Names{"skip_connection", "conv_shortcut"},
};

constexpr size_t kLayers = 3;  // in a block: two and what changes the size

// Takes a number and the '_' behind it from the front of `text`.
std::optional<size_t> take_number(std::string_view& text) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto digits = static_cast<size_t>(end - text.data());
  if (error != std::errc() || digits == text.size() || text[digits] != '_' || number > 99)
    return std::nullopt;
  text.remove_prefix(digits + 1);
  return number;
}

std::optional<std::string> in_resnet(const std::string& block, std::string_view rest) {
  for (const auto& [name, diffusers] : kInResnet) {
    if (rest == name) return block + "_" + std::string(diffusers);
  }
  return std::nullopt;
}

std::optional<std::string> in_middle(std::string_view rest) {
  const std::optional<size_t> part = take_number(rest);
  if (!part || *part > 2) return std::nullopt;
  if (*part == 1) return "mid_block_attentions_0_" + std::string(rest);
  return in_resnet(*part == 0 ? "mid_block_resnets_0" : "mid_block_resnets_1", rest);
}

std::optional<std::string> in_blocks(bool down, std::string_view rest) {
  const std::optional<size_t> number = take_number(rest);
  const std::optional<size_t> part = number ? take_number(rest) : std::nullopt;
  if (!part || (down && *number == 0)) return std::nullopt;
  const size_t at = down ? *number - 1 : *number;  // input_blocks_0 is conv_in
  const std::string block =
      (down ? "down_blocks_" : "up_blocks_") + std::to_string(at / kLayers) + "_";
  const std::string layer = std::to_string(at % kLayers);
  if (down && *part == 0 && rest == "op") return block + "downsamplers_0_conv";
  if (!down && *part > 0 && rest == "conv") return block + "upsamplers_0_conv";
  if (*part == 0) return in_resnet(block + "resnets_" + layer, rest);
  if (*part == 1) return block + "attentions_" + layer + "_" + std::string(rest);
  return std::nullopt;
}

}  // namespace

std::optional<std::string> diffusers_name(const std::string& name) {
  for (const auto& [own, diffusers] : kWhole) {
    if (name == own) return std::string(diffusers);
  }
  const std::string_view text = name;
  for (const std::string_view start : {"input_blocks_", "output_blocks_"}) {
    if (text.starts_with(start)) return in_blocks(start[0] == 'i', text.substr(start.size()));
  }
  constexpr std::string_view kMiddle = "middle_block_";
  return text.starts_with(kMiddle) ? in_middle(text.substr(kMiddle.size())) : std::nullopt;
}

}  // namespace wshare
