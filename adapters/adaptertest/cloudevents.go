package adaptertest

import (
	"encoding/json"
	"net/http"
)

// CloudEvents is the message that delivers items as CloudEvents: one in binary
// mode, several in batched mode. What is Broken lacks its type.
func CloudEvents(items []Item) (header http.Header, body []byte, err error) {
	if len(items) == 1 {
		header = http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {items[0].ID}, "Ce-Source": {"/suite"}, "Ce-Type": {"suite.item"}, "Content-Type": {"application/json"}}
		for name, value := range items[0].Attributes {
			header.Set("Ce-"+name, value)
		}
		if items[0].Broken {
			header.Del("Ce-Type")
		}
		return header, items[0].Data, nil
	}
	batch := make([]map[string]any, 0, len(items))
	for _, item := range items {
		e := map[string]any{"specversion": "1.0", "id": item.ID, "source": "/suite", "type": "suite.item", "datacontenttype": "application/json", "data": json.RawMessage(item.Data)}
		for name, value := range item.Attributes {
			e[name] = value
		}
		if item.Broken {
			delete(e, "type")
		}
		batch = append(batch, e)
	}
	body, err = json.Marshal(batch)
	return http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, body, err
}
