package cli_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/testmodels"
)

const goodRequest = `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`

// What batch.deadLetter has kept is scored under the names that the function
// would have used; what is done has no record any more, and what fails again has.
func TestRedriveOfAPrefix(t *testing.T) {
	dir := t.TempDir()
	model, scores, dead := testmodels.AddSub().File(t, "addsub"), filepath.Join(dir, "scores"), filepath.Join(dir, "scores", "dead")
	write := func(name string, text []byte) {
		t.Helper()
		file := filepath.Join(dead, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	record := func(name string, d batch.DeadItem) {
		d.Godwit, d.Kind, d.Code, d.Error, d.Time = "dead", "kinesis", "invalid", "some reason", time.Now()
		text, err := json.Marshal(&d)
		if err != nil {
			t.Fatal(err)
		}
		write(name, text)
	}
	rows := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(rows, []byte("a_0,a_1,a_2,a_3,b_0,b_1,b_2,b_3\n1,2,3,4,1,1,1,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var stay []string
	for i := range 40 {
		name := fmt.Sprintf("%02d.json", i)
		d := batch.DeadItem{ID: "same", Key: fmt.Sprint("k", i), Data: []byte(goodRequest)}
		if i%4 == 0 {
			d.Data, stay = []byte("no request"), append(stay, name)
		}
		record(name, d)
	}
	record("day 1/rows.csv.0011223344556677.json", batch.DeadItem{ID: "o", Key: "o", Object: &batch.DeadObject{URL: "file://" + rows, Version: "old", Size: -1}})
	record("day 1/gone.csv.0011223344556677.json", batch.DeadItem{ID: "g", Key: "g", Object: &batch.DeadObject{URL: "file://" + rows + ".gone", Version: "old", Size: -1}})
	write("day 1/text.txt", []byte("no record at all"))
	write("day 1/torn.json", []byte(`{"godwit":"dead","ke`))
	stay = append(stay, "day 1/gone.csv.0011223344556677.json", "day 1/torn.json")
	slices.Sort(stay)

	left := func() []string {
		t.Helper()
		var names []string
		err := filepath.WalkDir(dead, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".json") {
				name, _ := filepath.Rel(dead, path)
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	redrive := func(src string, args ...string) (done, stays int, items []string, code int) {
		t.Helper()
		stdout, stderr, code := runScore(t, append([]string{model, src, scores + "/", "--redrive", "--json"}, args...)...)
		var got struct {
			Done, Left int
			Failed     []struct{ Item, Code string }
		}
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("exit %d: %v\n%s%s", code, err, stdout, stderr)
		}
		for _, f := range got.Failed {
			items = append(items, f.Item)
		}
		slices.Sort(items)
		return got.Done, got.Left, items, code
	}

	// Three of them, one by its name, all of them, and what stays once more.
	if done, stays, _, code := redrive(dead+"/", "--limit", "3"); done != 2 || stays != 1 || code != 6 || len(left()) != 41 {
		t.Errorf("exit %d, %d done, %d stay, %d left", code, done, stays, len(left()))
	}
	if done, stays, _, code := redrive(filepath.Join(dead, "05.json")); done != 1 || stays != 0 || code != 0 || len(left()) != 40 {
		t.Errorf("exit %d, %d done, %d stay", code, done, stays)
	}
	done, stays, items, code := redrive(dead + "/")
	if done != 28 || stays != len(stay) || code != 6 {
		t.Errorf("exit %d, %d done, %d stay, want 28 and %d", code, done, stays, len(stay))
	}
	if diff := cmp.Diff(stay, items); diff != "" {
		t.Errorf("(-want +told):\n%s", diff)
	}
	if diff := cmp.Diff(stay, left()); diff != "" {
		t.Errorf("(-want +there):\n%s", diff)
	}
	if done, stays, _, _ := redrive(dead + "/"); done != 0 || stays != len(stay) {
		t.Errorf("again: %d done, %d stay", done, stays)
	}
	answers, err := filepath.Glob(filepath.Join(scores, "*.json"))
	if err != nil || len(answers) != 30 {
		t.Errorf("want 30 answers, got %d, %v", len(answers), err)
	}
	if all, err := filepath.Glob(filepath.Join(scores, rows+".*", "manifest.json")); err != nil || len(all) != 1 {
		t.Errorf("want the scores of one object, got %v, %v", all, err)
	}
	entries, err := os.ReadDir(scores)
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return e.IsDir() })
	if name := batch.Name("k5", digestOf(t, entries, scores)); !slices.Contains(answers, filepath.Join(scores, name)) {
		t.Errorf("want an answer named %s as the function does", name)
	}

	// A prefix without records is one of scores, as ever.
	if _, stderr, code := runScore(t, model, dir+"/", scores+"/", "--redrive"); code != 4 || !strings.Contains(stderr, "want what godwit score has written") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// azureQueues plays what of Azure Storage queues a redrive needs: a message is
// its own id and receipt.
type azureQueues struct {
	mu     sync.Mutex
	queues map[string][]string
	hidden map[string]bool
	refuse bool // what is sent
}

func (q *azureQueues) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/acme/"), "/messages")
	id := strings.TrimPrefix(rest, "/")
	switch r.Method {
	case http.MethodGet:
		fmt.Fprint(w, "<QueueMessagesList>")
		most, _ := strconv.Atoi(r.URL.Query().Get("numofmessages"))
		for _, text := range q.queues[name] {
			if most--; most >= 0 && !q.hidden[text] {
				q.hidden[text] = true
				fmt.Fprintf(w, "<QueueMessage><MessageId>%[1]s</MessageId><PopReceipt>r</PopReceipt><InsertionTime>Mon, 02 Jan 2006 15:04:05 GMT</InsertionTime><MessageText>%[1]s</MessageText></QueueMessage>", text)
			}
		}
		fmt.Fprint(w, "</QueueMessagesList>")
	case http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		var m struct{ MessageText string }
		if err := xml.Unmarshal(body, &m); err != nil || q.refuse {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		q.queues[name] = append(q.queues[name], m.MessageText)
		w.WriteHeader(http.StatusCreated)
	case http.MethodPut:
		q.hidden[id] = false
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		q.queues[name] = slices.DeleteFunc(q.queues[name], func(text string) bool { return text == id })
		w.WriteHeader(http.StatusNoContent)
	}
}

// look lets a test look at the queues.
func (q *azureQueues) look(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f()
}

// What is in a poison queue goes back to its queue, and needs no model for that.
func TestRedriveOfAPoisonQueue(t *testing.T) {
	q := &azureQueues{queues: map[string][]string{"rows-poison": {"bTE=", "bTI=", "bTM="}}, hidden: map[string]bool{}, refuse: true}
	server := httptest.NewServer(q)
	defer server.Close()
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=acme;AccountKey=a2V5")
	poison, rows := server.URL+"/acme/rows-poison", server.URL+"/acme/rows"
	_, stderr, code := runScore(t, "none", poison, rows, "--redrive")
	q.look(func() {
		if code != 8 || len(q.queues["rows-poison"]) != 3 || len(q.queues["rows"]) != 0 || q.hidden["bTE="] {
			t.Errorf("a queue that takes nothing: exit %d, %s, %v", code, stderr, q.queues)
		}
		q.refuse = false
	})
	stdout, stderr, code := runScore(t, "none", poison, rows, "--redrive", "--limit", "1")
	q.look(func() {
		if code != 0 || len(q.queues["rows"]) != 1 {
			t.Errorf("one of them: exit %d, %s%s, %v", code, stdout, stderr, q.queues)
		}
	})
	stdout, stderr, code = runScore(t, "none", poison, rows, "--redrive")
	if want := poison + ": 2 sent to " + rows + " and removed, 0 stay\n"; code != 0 || stdout != want {
		t.Errorf("exit %d, want %q, got %q, %s", code, want, stdout, stderr)
	}
	q.look(func() {
		if diff := cmp.Diff(map[string][]string{"rows-poison": {}, "rows": {"bTE=", "bTI=", "bTM="}}, q.queues); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	stdout, _, code = runScore(t, "none", poison, rows, "--redrive", "--json")
	if code != 0 || !strings.Contains(stdout, `"done": 0`) {
		t.Errorf("again: exit %d, %s", code, stdout)
	}
	if _, stderr, code := runScore(t, "none", poison, poison, "--redrive"); code != 0 {
		t.Errorf("nothing to move: exit %d, %s", code, stderr)
	}
	if _, stderr, code := runScore(t, "none", server.URL+"/123456789012/q", rows, "--redrive"); code != 12 || !strings.Contains(stderr, "start-message-move-task") {
		t.Errorf("a queue of SQS: exit %d, %s", code, stderr)
	}
}
