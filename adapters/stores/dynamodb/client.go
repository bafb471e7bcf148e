package dynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// client speaks DynamoDB's protocol: JSON 1.0, signed.
type client struct {
	http     *http.Client
	own      *http.Transport // nil if http is somebody else's
	endpoint *url.URL
	region   string
	attempt  time.Duration
	keys     *awsauth.Chain
}

// attribute is one value. One of its fields is set.
type attribute struct {
	S *string `json:",omitempty"`
	N *string `json:",omitempty"`
	B *[]byte `json:",omitempty"`
}

type item map[string]attribute

// request has the parameters of the calls that are made.
type request struct {
	TableName                           string
	Item                                item              `json:",omitempty"`
	Key                                 item              `json:",omitempty"`
	ConditionExpression                 string            `json:",omitempty"`
	ExpressionAttributeNames            map[string]string `json:",omitempty"`
	ExpressionAttributeValues           item              `json:",omitempty"`
	ReturnValuesOnConditionCheckFailure string            `json:",omitempty"`
	ConsistentRead                      bool              `json:",omitempty"`
}

// response has what is read of answers.
type response struct {
	Item item
}

// conditionError says that a write's condition does not hold.
type conditionError struct{ item item } // what is there, where the server tells

func (*conditionError) Error() string { return "the condition does not hold" }

// An item has at most 400 KB, in base64 a third more; errors are short.
const maxResponse = 1 << 20

// call makes one call, again while what keeps it from an answer may pass and ctx
// has time. key names the claim in errors.
func (c *client) call(ctx context.Context, name, key string, r *request) (*response, error) {
	op := "dynamodb." + name
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fault.New(fault.Internal, op, key, "%w", err)
	}
	for wait := 25 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		resp, again, err := c.once(ctx, op, key, "DynamoDB_20120810."+name, body)
		if err == nil {
			return resp, nil
		}
		if ended := ctx.Err(); ended != nil {
			return nil, fault.New(fault.CodeOf(ended), op, key, "%w, after: %v", ended, err)
		}
		if !again {
			return nil, err
		}
		t := time.NewTimer(rand.N(wait))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			// What kept it from an answer tells more than that time is over.
			return nil, fault.New(fault.CodeOf(ctx.Err()), op, key, "%w, after: %v", ctx.Err(), err)
		}
	}
}

// once asks once, and reports whether it makes sense to ask again.
func (c *client) once(ctx context.Context, op, key, target string, body []byte) (resp *response, again bool, err error) {
	keys, err := c.keys.Credentials(ctx)
	if err != nil {
		return nil, fault.CodeOf(err) == fault.Unavailable, store.Fault(op, key, err)
	}
	if keys == nil {
		return nil, false, fault.New(fault.Unauthenticated, op, "", "want credentials of AWS, got none").
			WithHint(`Give the function a role. On a laptop: eval "$(aws configure export-credentials --format env)".`)
	}
	ctx, cancel := context.WithTimeout(ctx, c.attempt)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return nil, false, fault.New(fault.BadConfig, op, "", "want an endpoint that can be asked")
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Accept-Encoding", "identity") // the checksum is that of the bytes sent
	awsauth.Sign(req, keys, "dynamodb", c.region, awsauth.Sum(body), time.Now())
	got, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, true, fault.New(fault.Unavailable, op, key, "%w", err)
	}
	defer got.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(got.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, true, fault.New(fault.Unavailable, op, key, "%w", err)
	case len(answer) > maxResponse:
		return nil, false, fault.New(fault.Unavailable, op, key, "want an answer of at most %d bytes", maxResponse)
	case !intact(answer, got.Header):
		return nil, true, fault.New(fault.Unavailable, op, key, "the answer's checksum is not its own")
	case got.StatusCode != http.StatusOK:
		again, err = refusal(op, key, got.StatusCode, answer)
		return nil, again, err
	}
	resp = &response{}
	if err := json.Unmarshal(answer, resp); err != nil {
		return nil, true, fault.New(fault.Unavailable, op, key, "want JSON, got %d other bytes", len(answer))
	}
	return resp, false, nil
}

// intact checks the sum that DynamoDB sends with its answers.
func intact(answer []byte, h http.Header) bool {
	text := h.Get("X-Amz-Crc32")
	if text == "" {
		return true
	}
	want, err := strconv.ParseUint(text, 10, 32)
	return err == nil && crc32.ChecksumIEEE(answer) == uint32(want)
}

// refusal reads an error, and reports whether it may pass.
func refusal(op, key string, status int, answer []byte) (again bool, err error) {
	var e struct {
		Type          string `json:"__type"` // "com.amazonaws.dynamodb.v20120810#Name"
		Message       string `json:"message"`
		MessageCapped string `json:"Message"`
		Item          item
	}
	_ = json.Unmarshal(answer, &e)
	name := e.Type[strings.LastIndexByte(e.Type, '#')+1:]
	if e.Message == "" {
		e.Message = e.MessageCapped
	}
	fail := func(code fault.Code) *fault.Error {
		return fault.New(code, op, key, "%s (status %d): %s", clip(name), status, clip(e.Message))
	}
	switch name {
	case "ConditionalCheckFailedException":
		return false, &conditionError{e.Item}
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "RequestLimitExceededException", "TransactionConflictException", "TransactionInProgressException", "LimitExceededException":
		return true, fail(fault.RateLimited)
	case "ResourceNotFoundException":
		return false, fail(fault.NotFound).WithHint("Make a table with a partition key \"id\" of type string.")
	case "AccessDeniedException":
		return false, fail(fault.Denied).WithHint("The role needs dynamodb:PutItem, dynamodb:DeleteItem and dynamodb:GetItem.")
	case "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException", "MissingAuthenticationToken", "IncompleteSignatureException", "ExpiredTokenException", "ExpiredToken":
		return false, fail(fault.Unauthenticated)
	case "ValidationException":
		if strings.Contains(e.Message, "Item size") {
			return false, fail(fault.TooLarge)
		}
		return false, fail(fault.BadConfig).WithHint("The table needs a partition key \"id\" of type string, and no sort key.")
	}
	if status >= 500 || status == http.StatusTooManyRequests {
		return true, fail(fault.Unavailable)
	}
	return false, fail(fault.Unavailable)
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 256)], "") }

// loopback reports whether host is this machine.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}
