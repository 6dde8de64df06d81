#pragma once

namespace wshare {

// Takes out of `messages`, a repeated field of a protobuf message, those for which keep(message) is
// false. The others keep their order and their addresses.
template <typename Messages, typename Keep>
void keep_if(Messages& messages, const Keep& keep) {
  int kept = 0;
  for (int i = 0; i < messages.size(); ++i) {
    if (!keep(messages.Get(i))) continue;
    if (kept != i) messages.SwapElements(kept, i);
    ++kept;
  }
  messages.DeleteSubrange(kept, messages.size() - kept);
}

}  // namespace wshare
