package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

const (
	// maxTemplate bounds a template's text.
	maxTemplate = 64 << 10
	// renderLimit is how long a template may take.
	renderLimit = time.Second
)

// builtins are the functions of text/template that a template may call: those that
// make nothing larger than what they are given. json is ours.
var builtins = []string{"and", "eq", "ge", "gt", "index", "le", "len", "lt", "ne", "not", "or", "json"}

var (
	errTooLarge = errors.New("makes more than is allowed")
	errTooLong  = errors.New("takes too long")
)

// A renderer is a template of text/template that can do no more than write: it calls
// no functions but the listed ones and no other template, and its time and what it
// writes are bounded. A value that is not there is an error.
type renderer struct {
	parsed *template.Template
	most   int
}

// newTemplate parses a template over data that has these fields. The error says what
// is wrong, after the template's own line and column.
func newTemplate(text string, fields []string, most int) (*renderer, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("has more than %d KiB", maxTemplate>>10)
	}
	parsed, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"json": toJSON(most, nil)}).Parse(text)
	if err != nil {
		return nil, errors.New(plain(err))
	}
	if len(parsed.Templates()) > 1 {
		return nil, errors.New("may not define templates")
	}
	if parsed.Tree == nil || parsed.Root == nil {
		return nil, errors.New("is empty")
	}
	if err := (&inspection{fields: fields}).list(parsed.Root, true); err != nil {
		return nil, err
	}
	return &renderer{parsed: parsed, most: most}, nil
}

// plain is what is wrong with a template, without the library's own words around it.
func plain(err error) string {
	text := strings.TrimPrefix(err.Error(), "template: ")
	return "line " + strings.TrimPrefix(text, ":")
}

// render renders the template over data.
func (r *renderer) render(data map[string]any) ([]byte, error) {
	out := &boundedBuffer{most: r.most, until: time.Now().Add(renderLimit)}
	bound, err := r.parsed.Clone()
	if err != nil {
		return nil, err
	}
	bound.Funcs(template.FuncMap{"json": toJSON(r.most, out.check)})
	if err := bound.Execute(out, data); err != nil {
		switch {
		case errors.Is(err, errTooLarge):
			return nil, fmt.Errorf("%w: %d bytes", errTooLarge, r.most)
		case errors.Is(err, errTooLong):
			return nil, errTooLong
		}
		return nil, errors.New(plain(err))
	}
	return out.Bytes(), nil
}

// A boundedBuffer takes so many bytes until that time.
type boundedBuffer struct {
	bytes.Buffer
	most  int
	until time.Time
}

// Write implements io.Writer.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if err := b.check(); err != nil {
		return 0, err
	}
	if b.Len()+len(p) > b.most {
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}

func (b *boundedBuffer) check() error {
	if time.Now().After(b.until) {
		return errTooLong
	}
	return nil
}

// toJSON is the function json: a value as JSON of so many bytes at most.
func toJSON(most int, check func() error) func(value any) (string, error) {
	return func(value any) (string, error) {
		if check != nil {
			if err := check(); err != nil {
				return "", err
			}
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			return "", err
		}
		if out.Len() > most {
			return "", errTooLarge
		}
		return strings.TrimSuffix(out.String(), "\n"), nil
	}
}

// An inspection refuses what a template may not do, and has each turn of a range look
// at the time.
type inspection struct{ fields []string }

// list inspects what stands in a part of the template; root is true where the dot is
// the whole data.
func (in *inspection) list(list *parse.ListNode, root bool) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		if err := in.node(node, root); err != nil {
			return err
		}
	}
	return nil
}

func (in *inspection) node(node parse.Node, root bool) error {
	switch n := node.(type) {
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		return nil
	case *parse.ActionNode:
		return in.pipe(n.Pipe, root)
	case *parse.IfNode:
		return in.branch(&n.BranchNode, root, root)
	case *parse.WithNode:
		return in.branch(&n.BranchNode, root, false)
	case *parse.RangeNode:
		if err := in.branch(&n.BranchNode, root, false); err != nil {
			return err
		}
		// A text of nothing is written all the same, and so the writer ends a loop.
		n.List.Nodes = append([]parse.Node{&parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos}}, n.List.Nodes...)
		return nil
	}
	return errors.New("may not use other templates")
}

func (in *inspection) branch(n *parse.BranchNode, root, inside bool) error {
	return errors.Join(in.pipe(n.Pipe, root), in.list(n.List, inside), in.list(n.ElseList, root))
}

func (in *inspection) pipe(pipe *parse.PipeNode, root bool) error {
	if pipe == nil {
		return nil
	}
	for _, cmd := range pipe.Cmds {
		for _, arg := range cmd.Args {
			if err := in.arg(arg, root); err != nil {
				return err
			}
		}
	}
	return nil
}

func (in *inspection) arg(arg parse.Node, root bool) error {
	switch a := arg.(type) {
	case *parse.IdentifierNode:
		if !slices.Contains(builtins, a.Ident) {
			return fmt.Errorf("may not call %s; there are %s", a.Ident, strings.Join(builtins, ", "))
		}
	case *parse.FieldNode:
		if root {
			return in.field(a.Ident[0])
		}
	case *parse.VariableNode:
		if a.Ident[0] == "$" && len(a.Ident) > 1 {
			return in.field(a.Ident[1])
		}
	case *parse.ChainNode:
		return in.arg(a.Node, root)
	case *parse.PipeNode:
		return in.pipe(a, root)
	}
	return nil
}

func (in *inspection) field(name string) error {
	if slices.Contains(in.fields, name) {
		return nil
	}
	return fmt.Errorf("has no .%s; there are .%s", name, strings.Join(in.fields, ", ."))
}
