package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Error is one thing wrong in a file, with the place to put it right.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 where no line is to blame
	Path         string // as in groups.nfs.services[0]
	Message      string
	Hint         string // what to write instead; may be empty

	excerpt string // the line itself
}

// Error shows place, message, the line and a caret with the hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Message)
	if e.Line == 0 || strings.TrimSpace(e.excerpt) == "" {
		if e.Hint != "" {
			b.WriteString("; " + e.Hint)
		}
		return b.String()
	}
	number := fmt.Sprintf("%4d", e.Line)
	fmt.Fprintf(&b, "\n%s | %s", number, e.excerpt)
	fmt.Fprintf(&b, "\n%s | %s^", strings.Repeat(" ", len(number)), padding(e.excerpt, e.Column))
	if e.Hint != "" {
		b.WriteString(" " + e.Hint)
	}
	return b.String()
}

// padding is the white space that brings a caret under the column; tabs stay
// tabs, so that both lines are drawn alike.
func padding(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= column-1 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Errors is everything wrong in a file, by line.
type Errors []*Error

// maxShown keeps the report of a hopeless file on one screen.
const maxShown = 20

// Error shows the errors one under another.
func (es Errors) Error() string {
	var texts []string
	for _, e := range es[:min(len(es), maxShown)] {
		texts = append(texts, e.Error())
	}
	if more := len(es) - maxShown; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "\n")
}

// Unwrap gives errors.As each of them.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

type position struct{ line, column int }

// source is a file's text, where its values stand, and what is wrong with it.
type source struct {
	file  string
	lines []string
	at    map[string]position
	errs  Errors
}

// parse reads the text as one YAML document and returns its top value.
func parse(file string, data []byte) (*source, value, error) {
	src := &source{file: file, at: map[string]position{}}
	if len(data) > maxFileSize {
		return nil, value{}, fmt.Errorf("read configuration %s: larger than %d KiB; is it the right file", file, maxFileSize>>10)
	}
	// One kind of line end, so that the library's line numbers and ours agree.
	text := strings.NewReplacer("\uFEFF", "", "\r\n", "\n", "\r", "\n").Replace(string(data))
	src.lines = strings.Split(text, "\n")
	root, err := parseYAML([]byte(text))
	if err != nil {
		src.syntax(err)
		return nil, value{}, src.err()
	}
	docs := slices.DeleteFunc(root.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(docs) == 0 {
		src.add("", position{}, "the file is empty", "the examples in deploy/ are a start")
		return nil, value{}, src.err()
	}
	if len(docs) > 1 {
		src.add("", place(docs[1].Body), "a second document begins here", "keep one, without ---")
		return nil, value{}, src.err()
	}
	body := docs[0].Body
	return src, value{src: src, node: body, pos: place(body)}, nil
}

// errParser stands for a file that the YAML library could not digest.
var errParser = errors.New("this is not YAML that can be read")

// parseYAML turns a panic of the library into an error: a strange file must not
// end the daemon with a stack trace instead of a sentence.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, errParser
		}
	}()
	return parser.ParseBytes(data, 0)
}

func (s *source) syntax(err error) {
	var ye yaml.Error
	if !errors.As(err, &ye) || ye.GetToken() == nil {
		s.add("", position{}, err.Error(), "")
		return
	}
	p := ye.GetToken().Position
	hint := ""
	if line := s.line(p.Line); strings.Contains(line, "[") && strings.Contains(line, "::") {
		hint = `quote IPv6 addresses, as in "[fd91::1]:7694"`
	}
	if strings.HasPrefix(strings.TrimLeft(s.line(p.Line), " "), "\t") {
		hint = "indent with blanks: YAML takes no tab there"
	}
	s.add("", position{p.Line, p.Column}, ye.GetMessage(), hint)
}

func (s *source) add(path string, at position, message, hint string) {
	s.errs = append(s.errs, &Error{
		File: s.file, Line: at.line, Column: at.column, Path: path,
		Message: message, Hint: hint, excerpt: masked(s.line(at.line)),
	})
}

// addAt reports something about a path after parsing, at the path's own place or
// else at that of the nearest thing around it.
func (s *source) addAt(path, message, hint string) {
	s.add(path, s.nearest(path), message, hint)
}

func (s *source) nearest(path string) position {
	for {
		if at, ok := s.at[path]; ok {
			return at
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return position{}
		}
		path = path[:cut]
	}
}

func (s *source) has(path string) bool {
	_, ok := s.at[path]
	return ok
}

func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// err is what was found so far, or nil.
func (s *source) err() error {
	if len(s.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(s.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return s.errs
}

// password finds what somebody may have written as a password, up to the end of the
// line: excerpts go to logs.
var password = regexp.MustCompile(`(?i)(pass(?:word|wd|phrase)?["']?\s*:\s*)(.+)`)

func masked(line string) string {
	return password.ReplaceAllStringFunc(line, func(m string) string {
		parts := password.FindStringSubmatch(m)
		return parts[1] + strings.Repeat("*", len([]rune(parts[2])))
	})
}
