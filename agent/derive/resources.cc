// Deterministic bytes and the difference of two ordered maps. See resources.h.
#include "agent/derive/resources.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {

std::string ResourceId::text() const {
  const auto& word = mesh::v1::ResourceKind_Name(static_cast<mesh::v1::ResourceKind>(kind));
  return name.empty() ? word : word + " " + name;
}

Delta difference(const Resources& from, const Resources& to) {
  Delta delta;
  auto old = from.begin();
  for (const auto& [id, bytes] : to) {
    while (old != from.end() && old->first < id) delta.removed.push_back((old++)->first);
    if (old != from.end() && old->first == id) {
      if (old->second != bytes) delta.changed.push_back(id);
      ++old;
    } else {
      delta.changed.push_back(id);
    }
  }
  while (old != from.end()) delta.removed.push_back((old++)->first);
  return delta;
}

std::string serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace weir::agent
