// A restore record: as stored, or (mode bit 0) before it is compressed, so that bytes reach the
// reader.

#include <zstd.h>

#include "format/restore_record.h"
#include "fuzz/fuzz.h"

using namespace wshare;
using namespace wshare::fuzz;

namespace {

std::string compressed(const std::string& record, const std::string& model) {
  std::string bytes(ZSTD_compressBound(record.size()), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_refPrefix(context, model.data(), model.size());
  bytes.resize(ZSTD_compress2(context, bytes.data(), bytes.size(), record.data(), record.size()));
  ZSTD_freeCCtx(context);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t mode = input.byte();
  const uint64_t original_bytes = (mode & 2) != 0 ? uint64_t{input.word()} << 16 : 100000;
  const std::string model((mode & 4) != 0 ? input.text(input.byte()) : std::string(300, 'm'));
  const std::string bytes = input.rest();
  const Exact stored((mode & 1) != 0 ? compressed(bytes, model) : bytes);
  accepts([&] {
    const RestoreRecord record = unpack_record(stored.text(), model, original_bytes);
    const std::string packed = pack_record(record, model);
    const RestoreRecord again = unpack_record(packed, model, UINT64_MAX);
    expect(again.literal == record.literal && again.runs.size() == record.runs.size() &&
               again.external.size() == record.external.size(),
           "a record is read as it was written");
  });
  return 0;
}
