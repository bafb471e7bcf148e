package chart

import (
	"encoding/json"
	"fmt"
	"strings"
)

// pageStyle needs no script and no font that is not there.
const pageStyle = `:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1c2127;--muted:#57606a;--edge:#dfe3e8;--bad:#b3261e}
@media screen and (prefers-color-scheme:dark){:root{--page:#0d1014;--card:#14181d;--ink:#e8ebef;--muted:#a3adb8;--edge:#333b45;--bad:#ff8f85}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 56px}
h1{font-size:26px;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:19px;margin:36px 0 12px}
p{margin:0 0 12px;max-width:75ch;overflow-wrap:anywhere}
.subtitle{color:var(--muted);margin-top:4px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px;margin:20px 0 0;padding:0}
.tile{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:12px 14px;overflow-wrap:anywhere}
.tile dt,.tile .note{color:var(--muted);font-size:13px}
.tile dd{margin:0}
.tile .value{font-size:23px;font-weight:600;line-height:1.3}
.tile.bad{border-color:var(--bad)}
.tile.bad .value{color:var(--bad)}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,540px),1fr));gap:16px;margin:0 0 16px}
figure{margin:0;background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:4px;overflow-x:auto}
figure svg{display:block;width:100%;min-width:520px;height:auto}
.wide{overflow-x:auto;margin:0 0 16px}
table{border-collapse:collapse;font-size:14px;background:var(--card);border:1px solid var(--edge)}
th,td{padding:6px 12px;text-align:left;border-bottom:1px solid var(--edge);vertical-align:top;white-space:nowrap}
td{max-width:60ch;white-space:normal;overflow-wrap:anywhere}
td:first-child{min-width:8em}
th{color:var(--muted);font-weight:600}
tr:last-child td{border-bottom:0}
td:last-child{min-width:10em}
td:first-child.n,td:last-child.n{min-width:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
pre{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:12px 14px;overflow-x:auto;font:13px/1.5 ui-monospace,monospace;margin:0 0 16px}
@media print{:root{--page:#fff}main{max-width:none;padding:0}figure,.tile,table,pre{break-inside:avoid}figure svg{min-width:0}pre{white-space:pre-wrap;overflow-wrap:anywhere}}
`

// HTML writes the page: one file that asks for nothing else, which its own
// policy sees to. An error is json.Marshal's, of Data.
func (p *Page) HTML() ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n"+
		"<title>%s</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>%s</h1>\n", esc(p.Title), pageStyle, esc(p.Title))
	if p.Subtitle != "" {
		fmt.Fprintf(&b, "<p class=\"subtitle\">%s</p>\n", esc(p.Subtitle))
	}
	if len(p.Tiles) > 0 {
		b.WriteString("<dl class=\"tiles\">\n")
		for _, t := range p.Tiles {
			class := "tile"
			if t.Bad {
				class += " bad"
			}
			fmt.Fprintf(&b, "<div class=\"%s\"><dt>%s</dt><dd class=\"value\">%s</dd>", class, esc(t.Label), esc(t.Value))
			if t.Note != "" {
				fmt.Fprintf(&b, "<dd class=\"note\">%s</dd>", esc(t.Note))
			}
			b.WriteString("</div>\n")
		}
		b.WriteString("</dl>\n")
	}
	for i := range p.Sections {
		p.Sections[i].write(&b)
	}
	b.WriteString("</main>\n")
	if p.Data != nil {
		data, err := json.Marshal(p.Data) // escapes <, so that nothing in it ends the element
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "<script type=\"application/json\" id=\"data\">%s</script>\n", data)
	}
	b.WriteString("</body>\n</html>\n")
	return []byte(b.String()), nil
}

func (s *Section) write(b *strings.Builder) {
	b.WriteString("<section>\n")
	if s.Heading != "" {
		fmt.Fprintf(b, "<h2>%s</h2>\n", esc(s.Heading))
	}
	for _, t := range s.Text {
		fmt.Fprintf(b, "<p>%s</p>\n", esc(t))
	}
	if len(s.SVG) > 0 {
		b.WriteString("<div class=\"figures\">\n")
		for _, svg := range s.SVG {
			fmt.Fprintf(b, "<figure>%s</figure>\n", svg)
		}
		b.WriteString("</div>\n")
	}
	if s.Table != nil {
		s.Table.write(b)
	}
	if s.Pre != "" {
		fmt.Fprintf(b, "<pre>%s</pre>\n", esc(s.Pre))
	}
	b.WriteString("</section>\n")
}

func (t *Table) write(b *strings.Builder) {
	cell := func(kind string, i int, text string) {
		class := ""
		if i < len(t.Numeric) && t.Numeric[i] {
			class = ` class="n"`
		}
		fmt.Fprintf(b, "<%s%s>%s</%s>", kind, class, esc(text), kind)
	}
	b.WriteString("<div class=\"wide\"><table>\n")
	if len(t.Head) > 0 {
		b.WriteString("<thead><tr>")
		for i, h := range t.Head {
			cell("th", i, h)
		}
		b.WriteString("</tr></thead>\n")
	}
	b.WriteString("<tbody>\n")
	for _, row := range t.Rows {
		b.WriteString("<tr>")
		for i, c := range row {
			cell("td", i, c)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table></div>\n")
}
