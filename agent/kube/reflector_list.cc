// Lists: by pages, their end in either way, and the doubt about an empty one. See reflector.h.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/kube/json.h"
#include "agent/kube/reflector.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::kube {

// No resourceVersion: a consistent read, which an answer from a lagging cache is not.
void Reflector::page(const std::string& token) {
  phase_ = Phase::paging;
  std::string more = whole_next_ ? "limit=0" : fmt::format("limit={}", options_.page);
  if (!token.empty()) more += "&continue=" + url_encoded(token);
  request_ = client_.get(query(more), [this, first = token.empty()](Result<Answer> result) {
    page_came(std::move(result), first);
  });
}

void Reflector::page_came(Result<Answer> result, bool first) {
  request_ = 0;
  if (!result) return failed(result.error().describe());
  if (result->status == 410 && !first) {
    // The server has forgotten where the pages were: all at once, which it cannot forget.
    whole_next_ = true;
    return expired("a continue token expired");
  }
  if (result->status != 200) return refused(result->status, result->body);
  Json list = parse_pruned(result->body, 4);
  if (!list.is_object() || !list["items"].is_array()) return failed("what is no list came");
  for (auto& object : list["items"]) {
    if (object.is_object()) listing_.insert(take(object));
  }
  const std::string token = text_at(list, "metadata", "continue");
  if (!token.empty()) return page(token);
  pages_next_ = whole_next_ = false;
  phase_ = Phase::watching;
  list_complete(text_at(list, "metadata", "resourceVersion"));
  if (phase_ == Phase::watching) again(std::chrono::milliseconds(0));
}

// What the list did not have is gone.
void Reflector::list_complete(const std::string& version) {
  ++status_.lists;
  if (listing_.empty() && !held_.empty()) return confirm_empty();
  std::vector<ObjectName> gone;
  for (const auto& [name, held] : held_) {
    if (!listing_.contains(name)) gone.push_back(name);
  }
  for (const auto& name : gone) drop(name);
  listing_.clear();
  resume_ = version;
  pages_next_ = false;
  tries_ = 0;
  recovered();
  became_listed();
}

void Reflector::became_listed() {
  if (!std::exchange(status_.listed, true) && handlers_.listed) handlers_.listed();
}

// Everything at once is rarely true: an API server before another, or a restored, database looks like this.
void Reflector::confirm_empty() {
  end_request();
  ++status_.empty_lists;
  status_.holding = true;
  log::warn(
      "{}: the API server lists none where there were {}; they are kept until a second read says so too",
      resource_.kind, held_.size());
  phase_ = Phase::confirming;
  request_ =
      client_.get(query("limit=1"), [this](Result<Answer> result) { confirmation_came(std::move(result)); });
}

void Reflector::confirmation_came(Result<Answer> result) {
  request_ = 0;
  if (!result) return failed(result.error().describe());
  if (result->status != 200) return refused(result->status, result->body);
  const Json list = parse_pruned(result->body, 4);
  if (!list.is_object() || !list.contains("items") || !list["items"].is_array()) {
    return failed("what is no list came");
  }
  status_.holding = false;
  if (!list["items"].empty()) return failed("an empty list was followed by one that is not");
  log::warn("{}: it is so, all {} are gone", resource_.kind, held_.size());
  while (!held_.empty()) drop(ObjectName(held_.begin()->first));
  resume_ = text_at(list, "metadata", "resourceVersion");
  tries_ = 0;
  became_listed();
  again(std::chrono::milliseconds(0));
}

// Remembers an object, and tells of it when it is not as it was.
ObjectName Reflector::take(Json& object) {
  const ObjectName name{text_at(object, "metadata", "namespace"), text_at(object, "metadata", "name")};
  Held now{text_at(object, "metadata", "resourceVersion"), text_at(object, "metadata", "uid")};
  Held& held = held_[name];
  if (held.version == now.version && held.uid == now.uid && !now.version.empty()) return name;
  held = std::move(now);
  object["apiVersion"] = resource_.api_version;  // which the items of a list lack
  object["kind"] = resource_.kind;
  handlers_.changed(object);
  return name;
}

void Reflector::drop(const ObjectName& name) {
  if (held_.erase(name) > 0) handlers_.gone(name);
}

}  // namespace weir::agent::kube
