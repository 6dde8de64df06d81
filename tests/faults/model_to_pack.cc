#include "faults/commands.h"
#include "run/graphs.h"

namespace wshare::test {

std::string model_to_pack() { return matmul_model(64, 512, floats(512, 2)).SerializeAsString(); }

}  // namespace wshare::test
