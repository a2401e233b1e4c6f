// Streams and their events. Lists are in reflector_list.cc, what goes wrong in reflector_errors.cc. See reflector.h.
#include "agent/kube/reflector.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/kube/json.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::kube {
namespace {

constexpr size_t kEventBytesMax = size_t{64} << 20;

}  // namespace

Reflector::Reflector(Loop& loop, Client& client, Resource resource, Handlers handlers, Options options)
    : loop_(loop),
      client_(client),
      resource_(std::move(resource)),
      handlers_(std::move(handlers)),
      options_(options),
      random_(std::random_device()()) {}

Reflector::~Reflector() {
  end_request();
  loop_.cancel(timer_);
}

void Reflector::start() { begin(); }

ReflectorStatus Reflector::status() const {
  ReflectorStatus status = status_;
  status.objects = held_.size();
  return status;
}

void Reflector::begin() {
  std::uniform_int_distribution<int64_t> life(options_.watch_min.count(), options_.watch_max.count());
  watch_life_ = std::chrono::seconds(life(random_));
  if (!resume_.empty()) {
    return open_stream(Phase::watching, "&resourceVersion=" + url_encoded(resume_));
  }
  listing_.clear();
  if (pages_next_) return page("");
  open_stream(Phase::streaming_list, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
}

std::string Reflector::query(const std::string& more) const {
  return resource_.path + "?" + resource_.selector + (resource_.selector.empty() ? "" : "&") + more;
}

void Reflector::open_stream(Phase phase, const std::string& more) {
  phase_ = phase;
  buffer_.clear();
  opened_ = bookmarked_ = any_event_ = false;
  opened_at_ = Loop::Clock::now();
  ++status_.watches;
  Client::Stream stream;
  stream.opened = [this] {
    opened_ = true;
    if (phase_ == Phase::watching) recovered();
    expect_data();
  };
  stream.data = [this](std::string_view data) { receive(data); };
  request_ = client_.stream(
      query(fmt::format("watch=1&allowWatchBookmarks=true&timeoutSeconds={}{}", watch_life_.count(), more)),
      std::move(stream), [this](Result<Answer> result) { stream_ended(std::move(result)); });
  expect_data();
}

// Events are JSON values, one a line.
void Reflector::receive(std::string_view data) {
  expect_data();
  buffer_ += data;
  const Client::RequestId request = request_;
  size_t begin = 0;
  for (size_t end = 0; (end = buffer_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (end > begin) event(std::string_view(buffer_).substr(begin, end - begin));
    if (request_ != request) return;  // it gave the stream up
  }
  buffer_.erase(0, begin);
  if (buffer_.size() > kEventBytesMax) failed("an event is longer than 64 MiB");
}

void Reflector::event(std::string_view line) {
  Json event = parse_pruned(line, 3);
  const std::string type = text_at(event, "type");
  if (!event.is_object() || type.empty() || !event["object"].is_object()) {
    return failed(fmt::format("what is no event came in a watch: {}", line.substr(0, 200)));
  }
  ++status_.events;
  Json& object = event["object"];
  if (type == "ERROR") return error_event(object);
  any_event_ = true;
  const std::string version = text_at(object, "metadata", "resourceVersion");
  if (type == "BOOKMARK") {
    bookmarked_ = true;
    const auto annotations = object.value(Json::json_pointer("/metadata/annotations"), Json::object());
    if (phase_ == Phase::streaming_list && annotations.value("k8s.io/initial-events-end", "") == "true") {
      phase_ = Phase::watching;
      return list_complete(version);
    }
  } else if (type == "ADDED" || type == "MODIFIED") {
    const ObjectName name = take(object);
    if (phase_ == Phase::streaming_list) listing_.insert(name);
  } else if (type == "DELETED") {
    const ObjectName name{text_at(object, "metadata", "namespace"), text_at(object, "metadata", "name")};
    listing_.erase(name);
    drop(name);
  } else {
    return failed("an event of the unknown type " + type);
  }
  // Until a list is complete its events are in no order.
  if (phase_ != Phase::watching) return;
  tries_ = 0;
  if (!version.empty()) resume_ = version;
}

void Reflector::error_event(const Json& status) {
  const std::string message = text_at(status, "message");
  if (status.value("code", 0) == 410) return expired(message);
  failed(fmt::format("the API server ended the watch: {}", message));
}

void Reflector::stream_ended(Result<Answer> result) {
  request_ = 0;
  loop_.cancel(std::exchange(silence_timer_, 0));
  const bool listing = phase_ == Phase::streaming_list;
  const bool short_life = Loop::Clock::now() - opened_at_ < options_.short_life;
  if (!listing && opened_ && !short_life) tries_ = 0;
  // A list that was cut is begun anew, in the other way: this one may be what cannot be done.
  if (listing) pages_next_ = true;
  if (!result) return failed(result.error().describe());
  if (result->status != 200) return refused(result->status, result->body);
  if (listing) return failed("the watch ended before it had told all there is");
  if (!any_event_ && short_life) return failed("the watch ended as soon as it had begun");
  again(std::chrono::milliseconds(0));
}

}  // namespace weir::agent::kube
