// Handing snapshots to workers. The threaded tests are what ThreadSanitizer is run on.
#include "nodeproxy/config/publish.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using namespace weir::config;

namespace {

// A snapshot whose fields agree with its version, so that a reader can tell a freed or half-made one.
std::shared_ptr<const Snapshot> numbered(uint64_t version) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->version = version;
  snapshot->mesh.node = "node-" + std::to_string(version);
  return snapshot;
}

}  // namespace

TEST_CASE("a worker sees nothing before the first snapshot, then always the newest") {
  Publisher publisher(1);
  auto& reader = publisher.reader(0);
  CHECK(reader.poll() == nullptr);
  CHECK_FALSE(reader.stale());
  publisher.publish(numbered(1));
  CHECK(reader.stale());
  CHECK(reader.current() == nullptr);
  CHECK(reader.poll()->version == 1);
  publisher.publish(numbered(2));
  publisher.publish(numbered(3));
  CHECK(reader.current()->version == 1);
  CHECK(reader.poll()->version == 3);
  CHECK_FALSE(reader.stale());
}

TEST_CASE("a snapshot lives until the last worker has taken a newer one, then it is freed") {
  Publisher publisher(2);
  std::weak_ptr<const Snapshot> first;
  {
    auto snapshot = numbered(1);
    first = snapshot;
    publisher.publish(std::move(snapshot));
  }
  publisher.reader(0).poll();
  publisher.reader(1).poll();
  publisher.publish(numbered(2));
  publisher.reader(0).poll();
  CHECK(publisher.reclaim() == 0);
  CHECK_FALSE(first.expired());
  CHECK(publisher.reader(1).current()->version == 1);
  publisher.reader(1).poll();
  CHECK(publisher.reclaim() == 1);
  CHECK(first.expired());
  CHECK(publisher.retained() == 1);
}

TEST_CASE("a version that starts again with a new agent changes nothing for the workers") {
  Publisher publisher(1);
  publisher.publish(numbered(1000));
  publisher.reader(0).poll();
  publisher.publish(numbered(1));
  CHECK(publisher.reader(0).poll()->version == 1);
  publisher.reclaim();
  CHECK(publisher.retained() == 1);
}

TEST_CASE("a worker that retires keeps no snapshot alive") {
  Publisher publisher(2);
  publisher.publish(numbered(1));
  publisher.reader(0).poll();
  publisher.reader(1).retire();
  publisher.publish(numbered(2));
  publisher.reader(0).poll();
  publisher.reclaim();
  CHECK(publisher.retained() == 1);
}

TEST_CASE("every worker is woken at every publication, when the snapshot is already there") {
  Publisher publisher(2);
  int woken = 0;
  for (size_t worker = 0; worker < 2; ++worker) {
    publisher.set_wake(worker, [&publisher, &woken, worker] {
      ++woken;
      CHECK(publisher.reader(worker).stale());
    });
  }
  publisher.publish(numbered(1));
  publisher.publish(numbered(2));
  CHECK(woken == 4);
}

TEST_CASE("workers on threads of their own never see an old, freed or half-made snapshot") {
  constexpr size_t kWorkers = 3;
  constexpr uint64_t kLast = 3000;
  Publisher publisher(kWorkers);
  std::atomic<bool> wrong{false};
  std::vector<std::thread> workers;
  for (size_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&publisher, &wrong, worker] {
      auto& reader = publisher.reader(worker);
      uint64_t seen = 0;
      while (seen < kLast) {
        const Snapshot* snapshot = reader.poll();
        if (snapshot == nullptr) continue;
        if (snapshot->version < seen || snapshot->mesh.node != "node-" + std::to_string(snapshot->version))
          wrong = true;
        seen = snapshot->version;
        // Used for a while, as a flow does, before the next look.
        for (size_t i = 0; i < worker * 3; ++i) std::this_thread::yield();
        if (reader.current()->version != seen) wrong = true;
      }
      reader.retire();
    });
  }
  size_t retained_most = 0;
  for (uint64_t version = 1; version <= kLast; ++version) {
    publisher.publish(numbered(version));
    retained_most = std::max(retained_most, publisher.retained());
  }
  for (std::thread& worker : workers) worker.join();
  publisher.reclaim();
  CHECK_FALSE(wrong);
  CHECK(publisher.retained() == 1);
  CHECK(retained_most >= 1);
}
