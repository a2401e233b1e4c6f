// What goes wrong, and when it is tried again. See reflector.h.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/kube/json.h"
#include "agent/kube/reflector.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::kube {

// A status that is not 200.
void Reflector::refused(int status, const std::string& body) {
  if (status == 410) return expired("the API server no longer knows where we were");
  if (status == 404) return missing();
  const Json answer = Json::parse(body, nullptr, false);
  std::string why = answer.is_object() ? text_at(answer, "message") : body.substr(0, 200);
  // Lists by watching are younger than lists: a server that has them not finds the request invalid.
  if (phase_ == Phase::streaming_list && (status == 400 || status == 422)) {
    log::info("{}: listed by pages, since the API server refuses to by watching: {}", resource_.kind, why);
    return again(std::chrono::milliseconds(0));
  }
  failed(fmt::format("{} {}: {}", resource_.path, status, why));
}

// The kind is not installed, or no longer. Policies outlive their definition: taking it away must open nothing.
void Reflector::missing() {
  const bool is_new = !std::exchange(status_.missing, true);
  status_.connected = false;
  status_.error = fmt::format("the API server does not know {}: {}", resource_.path, resource_.hint);
  if (is_new) log::warn("{}: {}", resource_.kind, status_.error);
  resume_.clear();
  pages_next_ = false;
  ++missing_in_a_row_;
  if (!resource_.indispensable && (held_.empty() || missing_in_a_row_ > 1)) {
    if (!held_.empty()) log::warn("{}: all {} are gone with their kind", resource_.kind, held_.size());
    while (!held_.empty()) drop(ObjectName(held_.begin()->first));
    became_listed();
  }
  const auto wait = options_.missing_retry;
  again(wait + wait * static_cast<int64_t>(random_() % 100) / 1000);
}

// Where we were is forgotten: everything is listed anew, and compared.
void Reflector::expired(const std::string& why) {
  end_request();
  log::info("{}: listed anew: {}", resource_.kind, why);
  resume_.clear();
  ++status_.failures;
  again(backoff());
}

void Reflector::failed(std::string why) {
  end_request();
  ++status_.failures;
  status_.connected = status_.holding = false;
  if (status_.error != why) {
    log::warn("{}: {}{}", resource_.kind, why, held_.empty() ? "" : "; what is known stays");
  }
  status_.error = std::move(why);
  again(backoff());
}

void Reflector::recovered() {
  status_.connected = true;
  status_.missing = status_.holding = false;
  missing_in_a_row_ = 0;
  if (std::exchange(status_.error, {}).empty()) return;
  log::info("{}: the API server is there again, {} objects", resource_.kind, held_.size());
}

void Reflector::end_request() {
  client_.cancel(std::exchange(request_, 0));
  loop_.cancel(std::exchange(silence_timer_, 0));
}

void Reflector::again(std::chrono::milliseconds delay) {
  phase_ = Phase::waiting;
  loop_.cancel(timer_);
  timer_ = loop_.after(delay, [this] {
    timer_ = 0;
    begin();
  });
}

// Twice as long each time, and half of it by chance: a thousand agents shall not come back as one.
std::chrono::milliseconds Reflector::backoff() {
  const auto full = std::min(options_.backoff_first * (1u << std::min(tries_, 16u)), options_.backoff_max);
  ++tries_;
  return full / 2 + full * static_cast<int64_t>(random_() % 1000) / 2000;
}

// Dead connections are found by TCP; this finds a server, or what stands before it, that is alive and says nothing.
void Reflector::expect_data() {
  loop_.cancel(silence_timer_);
  const auto limit = phase_ != Phase::watching || !opened_ ? options_.open_wait
                     : bookmarked_                         ? options_.silence_max
                                                           : watch_life_ + options_.open_wait;
  silence_timer_ = loop_.after(limit, [this, limit] {
    silence_timer_ = 0;
    if (phase_ == Phase::streaming_list) pages_next_ = true;
    client_.distrust_connections();
    failed(fmt::format("the API server has kept silent for {} ms: a new connection", limit.count()));
  });
}

}  // namespace weir::agent::kube
