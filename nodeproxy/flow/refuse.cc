// See refuse.h.
#include "nodeproxy/flow/refuse.h"

#include "nodeproxy/telemetry/request_record.h"

namespace weir::flow {
namespace {

constexpr auto kAnswerPatience = std::chrono::seconds(10);

}  // namespace

bool refusable(const Error& why) {
  return why.reason == Reason::bad_request || why.reason == Reason::head_too_large ||
         why.reason == Reason::header_timeout;
}

io::Task<void> refuse(HttpClient& client, http::MessageStream& stream, Error why, uint16_t status) {
  Context& context = client.flow.context;
  telemetry::RequestRecord record(context.request_sink, client.base_row(), context.driver.now());
  record.facts.client = client.address;
  record.facts.source_pod = client.facts.source_pod;
  http::Head head;
  head.status = status != 0 ? status : status_of(why.reason);
  const std::string text = std::string(label(why.reason)) + "\n";
  head.content_length = text.size();
  head.headers.add("content-type", "text/plain");
  record.status = head.status;
  record.received_bytes = text.size();
  http::Piece piece{&head, io::copy_to_buffer(std::as_bytes(std::span(text.data(), text.size()))), nullptr,
                    true};
  const Status written = co_await stream.write(std::move(piece), context.driver.now() + kAnswerPatience);
  record.end(context.driver.now(), written ? why : written.error());
}

void note_broken(HttpClient& client, const Error& why) {
  Context& context = client.flow.context;
  telemetry::RequestRecord record(context.request_sink, client.base_row(), context.driver.now());
  record.facts.client = client.address;
  record.facts.source_pod = client.facts.source_pod;
  record.end(context.driver.now(), why);
}

}  // namespace weir::flow
