package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const account = "123456789012" // moto's; the region is that of the emulator

const location = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"

// resource is one of the template, and what moto made of it.
type resource struct {
	Type, Physical string
	Properties     json.RawMessage
}

// stack is a deployed template.
type stack struct {
	moto      *client
	resources map[string]*resource // by logical id
	outputs   map[string]string
	fitting   *fitting
}

// deploy uploads the assets of a cloud assembly, has moto make its one stack, and
// makes up for what moto leaves out.
func deploy(ctx context.Context, moto *client, assembly, name string, known map[string]bool) (*stack, error) {
	text, err := os.ReadFile(filepath.Join(assembly, name+".template.json"))
	if err != nil {
		return nil, err
	}
	var template struct{ Resources map[string]*resource }
	if err := json.Unmarshal(text, &template); err != nil {
		return nil, err
	}
	s := &stack{moto: moto, resources: template.Resources, outputs: map[string]string{}}
	if s.fitting, err = fit(text, known); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(s.fitting.template); err != nil {
		return nil, err
	}
	if err := s.upload(ctx, assembly, name); err != nil {
		return nil, err
	}
	if err := moto.json(ctx, "ssm", "AmazonSSM.PutParameter", map[string]any{"Name": "/cdk-bootstrap/hnb659fds/version", "Type": "String", "Value": "21", "Overwrite": true}, nil); err != nil {
		return nil, err
	}
	const version = "2010-05-15"
	form := url.Values{"StackName": {name}, "TemplateBody": {string(text)}, "Capabilities.member.1": {"CAPABILITY_IAM"}}
	if err := moto.query(ctx, "cloudformation", version, "CreateStack", form, nil); err != nil {
		return nil, err
	}
	var described struct {
		Status string `xml:"DescribeStacksResult>Stacks>member>StackStatus"`
		Reason string `xml:"DescribeStacksResult>Stacks>member>StackStatusReason"`
		Output []struct {
			Key   string `xml:"OutputKey"`
			Value string `xml:"OutputValue"`
		} `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	}
	if err := moto.query(ctx, "cloudformation", version, "DescribeStacks", url.Values{"StackName": {name}}, &described); err != nil {
		return nil, err
	}
	if described.Status != "CREATE_COMPLETE" {
		return nil, fmt.Errorf("want the stack made, got %s: %s", described.Status, described.Reason)
	}
	for _, o := range described.Output {
		s.outputs[o.Key] = o.Value
	}
	var listed struct {
		Resource []struct {
			Logical  string `xml:"LogicalResourceId"`
			Physical string `xml:"PhysicalResourceId"`
		} `xml:"ListStackResourcesResult>StackResourceSummaries>member"`
	}
	if err := moto.query(ctx, "cloudformation", version, "ListStackResources", url.Values{"StackName": {name}}, &listed); err != nil {
		return nil, err
	}
	for _, r := range listed.Resource {
		if have := s.resources[r.Logical]; have != nil {
			have.Physical = r.Physical
		}
	}
	for id, r := range s.resources {
		switch r.Type { // what moto has no names for
		case "AWS::Events::EventBus":
			r.Physical = s.outputs["EventBusName"]
		case "AWS::Lambda::Version":
			r.Physical = "1"
		}
		if r.Physical == "" && s.fitting.unknown[id] == "" && s.fitting.refers[id] == "" {
			return nil, fmt.Errorf("want %s, a %s, made, got nothing", id, r.Type)
		}
	}
	return s, s.makeUp(ctx)
}

// upload puts what the template names where it names it, as cdk deploy does.
func (s *stack) upload(ctx context.Context, assembly, name string) error {
	text, err := os.ReadFile(filepath.Join(assembly, name+".assets.json"))
	if err != nil {
		return err
	}
	var assets struct {
		Files map[string]struct {
			Source       struct{ Path, Packaging string }
			Destinations map[string]struct{ BucketName, ObjectKey string }
		}
	}
	if err := json.Unmarshal(text, &assets); err != nil {
		return err
	}
	fill := strings.NewReplacer("${AWS::AccountId}", account, "${AWS::Region}", "eu-west-1", "${AWS::Partition}", "aws")
	for _, f := range assets.Files {
		if f.Source.Packaging != "file" {
			return fmt.Errorf("want files only, got %s", f.Source.Packaging)
		}
		data, err := os.ReadFile(filepath.Join(assembly, f.Source.Path))
		if err != nil {
			return err
		}
		for _, d := range f.Destinations {
			bucket := "/" + fill.Replace(d.BucketName)
			if err := s.moto.do(ctx, http.MethodPut, "s3", bucket, []byte(location), nil); err != nil && !strings.Contains(err.Error(), "BucketAlreadyOwnedByYou") {
				return err
			}
			if err := s.moto.do(ctx, http.MethodPut, "s3", bucket+"/"+escapeKey(d.ObjectKey), data, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// of is the resources of a type, by logical id.
func (s *stack) of(kind string) map[string]*resource {
	all := map[string]*resource{}
	for id, r := range s.resources {
		if r.Type == kind {
			all[id] = r
		}
	}
	return all
}

// named is the one resource of a type whose logical id begins so.
func (s *stack) named(kind, prefix string) (*resource, error) {
	all := s.of(kind)
	for id := range all {
		if !strings.HasPrefix(id, prefix) {
			delete(all, id)
		}
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("want one %s that begins with %s, got %v", kind, prefix, slices.Sorted(maps.Keys(all)))
	}
	for _, r := range all {
		return r, nil
	}
	return nil, nil
}

// makeUp does what moto's CloudFormation does not do of resources that it makes:
// versions and notifications of buckets, as the template has them, and
// subscriptions, which it does not know. And it turns off moto's own poller, which would want docker: the pump takes its place.
func (s *stack) makeUp(ctx context.Context) error {
	for _, b := range s.of("AWS::S3::Bucket") {
		var p struct {
			VersioningConfiguration   struct{ Status string }
			NotificationConfiguration struct {
				QueueConfigurations []struct {
					Event string
					Queue struct {
						GetAtt []string `json:"Fn::GetAtt"`
					}
					Filter struct {
						S3Key struct {
							Rules []struct{ Name, Value string }
						}
					}
				}
			}
		}
		if err := json.Unmarshal(b.Properties, &p); err != nil {
			return err
		}
		put := func(query string, document any) error {
			text, err := xml.Marshal(document)
			if err != nil {
				return err
			}
			return s.moto.do(ctx, http.MethodPut, "s3", "/"+b.Physical+"?"+query, text, nil)
		}
		if p.VersioningConfiguration.Status != "" {
			if err := put("versioning", struct {
				XMLName struct{} `xml:"VersioningConfiguration"`
				Status  string
			}{Status: p.VersioningConfiguration.Status}); err != nil {
				return err
			}
		}
		type rule struct{ Name, Value string }
		type configuration struct {
			ID    string `xml:"Id"`
			Queue string
			Event string
			Rules []rule `xml:"Filter>S3Key>FilterRule"`
		}
		var all []configuration
		for i, q := range p.NotificationConfiguration.QueueConfigurations {
			if len(q.Queue.GetAtt) != 2 || q.Queue.GetAtt[1] != "Arn" {
				return fmt.Errorf("want a queue of the template, got %v", q.Queue)
			}
			c := configuration{ID: fmt.Sprint(i), Queue: queueARN(s.resources[q.Queue.GetAtt[0]].Physical), Event: q.Event}
			for _, r := range q.Filter.S3Key.Rules {
				c.Rules = append(c.Rules, rule{r.Name, r.Value})
			}
			all = append(all, c)
		}
		if len(all) > 0 {
			if err := put("notification", struct {
				XMLName struct{}        `xml:"NotificationConfiguration"`
				All     []configuration `xml:"QueueConfiguration"`
			}{All: all}); err != nil {
				return err
			}
		}
	}
	for _, r := range s.of("AWS::SNS::Subscription") {
		var p struct {
			Protocol string
			TopicArn struct{ Ref string }
			Endpoint struct {
				GetAtt []string `json:"Fn::GetAtt"`
			}
		}
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return err
		}
		if p.Protocol != "sqs" || len(p.Endpoint.GetAtt) != 2 || s.resources[p.TopicArn.Ref] == nil {
			return fmt.Errorf("want a topic and a queue of the template, got %s", r.Properties)
		}
		form := url.Values{"TopicArn": {s.resources[p.TopicArn.Ref].Physical}, "Protocol": {p.Protocol}, "Endpoint": {queueARN(s.resources[p.Endpoint.GetAtt[0]].Physical)}}
		if err := s.moto.query(ctx, "sns", "2010-03-31", "Subscribe", form, nil); err != nil {
			return err
		}
	}
	for _, m := range s.of("AWS::Lambda::EventSourceMapping") {
		if err := s.moto.do(ctx, http.MethodPut, "lambda", "/2015-03-31/event-source-mappings/"+m.Physical, []byte(`{"Enabled": false}`), nil); err != nil {
			return err
		}
	}
	return nil
}

// policyOf is what moto has of the one managed policy whose logical id begins so.
func (s *stack) policyOf(ctx context.Context, prefix string) (*policy, error) {
	r, err := s.named("AWS::IAM::ManagedPolicy", prefix)
	if err != nil {
		return nil, err
	}
	var got struct {
		Document string `xml:"GetPolicyVersionResult>PolicyVersion>Document"`
	}
	if err := s.moto.query(ctx, "iam", "2010-05-08", "GetPolicyVersion", url.Values{"PolicyArn": {r.Physical}, "VersionId": {"v1"}}, &got); err != nil {
		return nil, err
	}
	text := got.Document
	if strings.HasPrefix(text, "%7B") {
		if text, err = url.QueryUnescape(text); err != nil {
			return nil, err
		}
	}
	return parsePolicy([]byte(text))
}

// mapping is how an event source mapping delivers, as moto has it.
type mapping struct {
	BatchSize                      int
	MaximumBatchingWindowInSeconds int
	EventSourceArn, FunctionArn    string
	FunctionResponseTypes          []string
}

// function is a function's configuration, as moto has it.
type function struct {
	FunctionName, FunctionArn, Handler, Runtime, CodeSha256 string
	Timeout, MemorySize                                     int
	Environment                                             struct{ Variables map[string]string }
}

func (s *stack) mapping(ctx context.Context, prefix string) (*mapping, error) {
	r, err := s.named("AWS::Lambda::EventSourceMapping", prefix)
	if err != nil {
		return nil, err
	}
	m := &mapping{}
	return m, s.moto.do(ctx, http.MethodGet, "lambda", "/2015-03-31/event-source-mappings/"+r.Physical, nil, m)
}

func (s *stack) function(ctx context.Context, prefix string) (*function, error) {
	r, err := s.named("AWS::Lambda::Function", prefix)
	if err != nil {
		return nil, err
	}
	f := &function{}
	return f, s.moto.do(ctx, http.MethodGet, "lambda", "/2015-03-31/functions/"+r.Physical+"/configuration", nil, f)
}

// bucket is one of moto, as somebody with a role sees it.
type bucket struct {
	as   *client
	name string
}

func (b *bucket) put(ctx context.Context, key string, data []byte) error {
	return b.as.do(ctx, http.MethodPut, "s3", "/"+b.name+"/"+escapeKey(key), data, nil)
}

func (b *bucket) get(ctx context.Context, key string) (data []byte, err error) {
	return data, b.as.do(ctx, http.MethodGet, "s3", "/"+b.name+"/"+escapeKey(key), nil, &data)
}

func (b *bucket) remove(ctx context.Context, key string) error {
	return b.as.do(ctx, http.MethodDelete, "s3", "/"+b.name+"/"+escapeKey(key), nil, nil)
}

type listed struct {
	Key, ETag string
	Size      int64
}

func (b *bucket) list(ctx context.Context, prefix string) ([]listed, error) {
	var doc struct {
		Contents    []listed
		IsTruncated bool
	}
	err := b.as.do(ctx, http.MethodGet, "s3", "/"+b.name+"?list-type=2&prefix="+url.QueryEscape(prefix), nil, &doc)
	if err == nil && doc.IsTruncated {
		err = errors.New("want fewer objects than one page has")
	}
	return doc.Contents, err
}

// uploads is how many uploads of parts are begun and not ended.
func (b *bucket) uploads(ctx context.Context) (int, error) {
	var text []byte
	err := b.as.do(ctx, http.MethodGet, "s3", "/"+b.name+"?uploads", nil, &text)
	return bytes.Count(text, []byte("<UploadId>")), err
}
