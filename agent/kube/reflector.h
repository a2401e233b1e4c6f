#pragma once
// One resource of the API server, listed and watched: what is told is only the difference to what was told before.
//
//   list: WatchList (a watch that begins with all there is), or pages where the server has it not ──▶ watch ──▶ watch …
//          ▲ 410 Gone, in a status or an event                                              │ ends, is cut, keeps silent
//          └────────────────────────────────────────────────────────────────────────────────┘ watch again from there
//
// Concept: a connection that ends costs nothing, the next watch resumes where the last stopped. When the server no longer
// remembers that place, everything is listed anew and compared with what is held: objects that did not change are not
// told, those that are missing are told as gone at the list's end. Lists are consistent reads: an API server that lags
// must not take us back. An empty list where there were objects is believed only when a second read says so too.
// Owner: the source. Thread: the loop's. Lifetime: within the client's.
// Source: kubernetes.io "API Concepts" (watch, bookmarks, streaming lists, chunks), KEP-3157.
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "agent/kube/client.h"
#include "agent/loop/loop.h"
#include "agent/model/meta.h"

namespace weir::agent::kube {

struct Resource {
  std::string kind, api_version;
  std::string path;            // "/api/v1/pods"
  std::string selector;        // "fieldSelector=…", or empty
  std::string hint;            // for people, when the server does not know the kind
  bool indispensable = false;  // without this kind nothing may be derived
};

struct ReflectorStatus {
  bool listed = false;     // completely, once at least; or not installed and dispensable
  bool connected = false;  // a watch is open, or only now between two
  bool missing = false;    // the server does not know the kind
  bool holding =
      false;  // a list came out empty, and what was there before is kept until a second one says so
  size_t objects = 0;
  uint64_t lists = 0, watches = 0, events = 0, failures = 0, empty_lists = 0;
  std::string error;  // of the last try; empty: none
};

class Reflector {
 public:
  struct Handlers {
    std::function<void(const nlohmann::json& object)>
        changed;  // new or not as before; has apiVersion and kind
    std::function<void(const ObjectName& name)> gone;
    std::function<void()> listed;  // `listed` became true
  };
  struct Options {
    std::chrono::milliseconds backoff_first{500}, backoff_max{30000};
    std::chrono::milliseconds missing_retry{30000};
    std::chrono::milliseconds open_wait{60000};  // for the first byte, and between those of a list
    std::chrono::milliseconds silence_max{
        180000};  // of a watch that was sent bookmarks (they come each minute)
    std::chrono::seconds watch_min{300}, watch_max{600};
    std::chrono::milliseconds short_life{1000};  // a watch that ends sooner, without an event, has failed
    unsigned page = 500;
  };

  Reflector(Loop& loop, Client& client, Resource resource, Handlers handlers, Options options);
  ~Reflector();
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void start();
  const Resource& resource() const { return resource_; }
  ReflectorStatus status() const;

 private:
  enum class Phase { waiting, streaming_list, paging, confirming, watching };
  struct Held {
    std::string version, uid;
  };

  void begin();
  std::string query(const std::string& more) const;
  void open_stream(Phase phase, const std::string& more);
  void receive(std::string_view data);
  void event(std::string_view line);
  void error_event(const nlohmann::json& status);
  void stream_ended(Result<Answer> result);

  void page(const std::string& token);
  void page_came(Result<Answer> result, bool first);
  void confirm_empty();
  void confirmation_came(Result<Answer> result);

  ObjectName take(nlohmann::json& object);
  void drop(const ObjectName& name);
  void list_complete(const std::string& version);
  void became_listed();

  void refused(int status, const std::string& body);
  void missing();
  void expired(const std::string& why);
  void failed(std::string why);
  void recovered();
  void end_request();
  void again(std::chrono::milliseconds delay);
  void expect_data();
  std::chrono::milliseconds backoff();

  Loop& loop_;
  Client& client_;
  const Resource resource_;
  const Handlers handlers_;
  const Options options_;
  ReflectorStatus status_;
  Phase phase_ = Phase::waiting;
  std::map<ObjectName, Held> held_;
  std::set<ObjectName> listing_;  // seen by the list under way
  std::string resume_;            // resourceVersion to watch from; empty: list first
  std::string buffer_;            // of the stream: an event that has not come whole
  bool pages_next_ = false;       // the last streaming list did not work: the next is by pages
  bool whole_next_ = false;       // a continue token expired: the next list is one page
  bool opened_ = false, bookmarked_ = false, any_event_ = false;
  unsigned tries_ = 0, missing_in_a_row_ = 0;
  std::chrono::seconds watch_life_{0};
  Loop::Clock::time_point opened_at_;
  Client::RequestId request_ = 0;
  Loop::TimerId timer_ = 0, silence_timer_ = 0;
  std::mt19937_64 random_;
};

}  // namespace weir::agent::kube
