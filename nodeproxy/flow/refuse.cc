// See refuse.h.
#include "nodeproxy/flow/refuse.h"

#include "nodeproxy/telemetry/request_record.h"

namespace weir::flow {
namespace {

// A record of what never became a request: only who it was is known.
void begin(telemetry::RequestRecord& record, const HttpClient& client) {
  record.facts.client = client.address;
  record.facts.source_pod = client.facts.source_pod;
}

}  // namespace

bool refusable(const Error& why) {
  return why.reason == Reason::bad_request || why.reason == Reason::head_too_large ||
         why.reason == Reason::header_timeout;
}

io::Task<void> refuse(HttpClient& client, http::MessageStream& stream, Error why, uint16_t status) {
  Context& context = client.flow.context;
  telemetry::RequestRecord record(context.request_sink, client.base_row(), context.driver.now());
  begin(record, client);
  http::Head head;
  head.status = record.status = status != 0 ? status : status_of(why.reason);
  http::Piece piece{&head, tell(head, why.reason, false), nullptr, true};
  record.received_bytes = piece.body.size();
  const Status written = co_await stream.write(std::move(piece), context.driver.now() + kAnswerPatience);
  record.end(context.driver.now(), written ? why : written.error());
}

void note_broken(HttpClient& client, const Error& why) {
  Context& context = client.flow.context;
  telemetry::RequestRecord record(context.request_sink, client.base_row(), context.driver.now());
  begin(record, client);
  record.end(context.driver.now(), why);
}

}  // namespace weir::flow
