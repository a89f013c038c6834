"""Go templates: what podman prints for the same text, and clear words for a wrong one."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.commands.template import default_heading, pretty_json, print_rows, print_values, render
from rootless_pod.commands.template_print import NO_VALUE, go_json, print_value, quote, sprintf
from rootless_pod.errors import Usage
from rootless_pod.jsontext import Map, NoList, NoMap, Struct

CONTAINER = {
    "ID": "abc123",
    "Names": ["web", "www"],
    "Labels": {"b": "2", "a": "1"},
    "State": {"Running": True, "Pid": 42, "ExitCode": 0},
    "Mounts": [{"Type": "bind", "Source": "/a"}, {"Type": "volume", "Source": "v"}],
    "Empty": [],
    "Nothing": None,
    "Share": 0.5,
}

# Without a field of its own, so that podman can be asked the same: seen with podman 4.3.1 (Go 1.19).
PLAIN = [
    ("{{len `ab`}}", "2"),
    ('{{slice "hello" 1 3}}', "el"),
    ('{{index (split "a,b" ",") 1}}', "b"),
    ('{{"x" | printf "%s-%s" "y"}}', "y-x"),
    ('{{print 1 2 "a" "b" 3}}', "1 2ab3"),
    ("{{if and true 0}}y{{else if 1}}z{{end}}", "z"),
    ('{{with $x := "a"}}{{$x}}{{end}}', "a"),
    ('{{with ""}}x{{else}}none{{end}}', "none"),
    ('{{range $i, $e := split "a,b" ","}}{{$i}}{{$e}} {{end}}', "0a 1b "),
    ('{{range $e := split "a,b" ","}}[{{$e}}]{{end}}', "[a][b]"),
    ('{{range split "a,b,c" ","}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}', "ac"),
    ('{{range split "a,b,c" ","}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"),
    ('{{range slice (split "a" ",") 1}}x{{else}}empty{{end}}', "empty"),
    ('{{title "hello world"}}', "Hello World"),
    ('{{pad "a" 2 2}}|', "  a  |"),
    ('{{truncate "abc" 2}}', "ab"),
    (
        '{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{ge 2 2}} {{not 0}} {{or "" "d"}} {{and 1 ""}}|',
        "true true true true true d |",
    ),
    ('{{printf "%d" "x"}} {{printf "%s"}} {{printf "a" 1}}', "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"),
    (
        '{{printf "%5d|%-5d|%05d|%+d|%x|%X|%o|%b|%c|%U|%#x" 42 42 42 42 255 255 8 5 65 65 255}}',
        "   42|42   |00042|+42|ff|FF|10|101|A|U+0041|0xff",
    ),
    ('{{printf "%e|%g|%f|%.2f|%8.3f|%v" 1.5 2.5 3.5 2.345 1.5 1e21}}', "1.500000e+00|2.5|3.500000|2.35|   1.500|1e+21"),
    (
        '{{printf "%q|%5s|%-5s|%.2s|%x|%v|%T|%t" "a\\tb" "ab" "ab" "abc" "hi" true 1 false}}',
        '"a\\tb"|   ab|ab   |ab|6869|true|int|false',
    ),
    ('{{printf "%*d|%%|%" 5 42}}', "   42|%|%!(NOVERB)"),
    ('{{html "<a>"}} {{urlquery "a b&c"}}', "&lt;a&gt; a+b%26c"),
    ('{{json "<a>&\\u2028"}}', '"<a>&\\u2028"'),
    ('{{json (split "a,b" ",")}}', '["a","b"]'),
    ("{{1.5}} {{1e21}} {{0x1f}} {{017}} {{'a'}} {{-3}}", "1.5 1e+21 31 15 97 -3"),
    ('a  {{- "b" -}}   c', "abc"),
    ("{{/* words */ -}} x", "x"),
    ("a {{- /* words */ -}} x", "ax"),
    ("{{$a := 1}}{{$a = 2}}{{$a}}{{if true}}{{$a := 3}}{{$a}}{{end}}{{$a}}", "232"),
    ('{{join (split "a,b" ",") "-"}} {{lower "AB"}} {{upper "ab"}}', "a-b ab AB"),
    ('{{split "a,b" ","}}', "[a b]"),
    ('{{printf "%v %q" (split "a,b" ",") (split "a,b" ",")}}', '[a b] ["a" "b"]'),
    ('{{"a" | len | eq 1}}', "true"),
    ('{{(printf "%s" "x")}}', "x"),
    ("{{true}} {{false}}", "true false"),
    ('{{index "abc" 1}}', "98"),
]


@pytest.mark.parametrize(("source", "wanted"), PLAIN)
def test_templates_give_what_podman_prints(source, wanted):
    assert render(source, {}) == wanted


@pytest.mark.peer
@pytest.mark.parametrize(("source", "wanted"), PLAIN)
def test_podman_itself_prints_the_same(source, wanted):
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    if "continue" in source or "break" in source or "$a = 2" in source:
        pytest.skip("this podman's Go, or its rewriting of formats, may not know it")
    done = subprocess.run(
        ["podman", "version", "--format", source], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == wanted + "\n"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("{{.ID}} {{.State.Pid}} {{.state.pid}}", "abc123 42 42"),
        ("{{.Names}} {{.Labels}} {{.State}}", "[web www] map[a:1 b:2] {true 42 0}"),
        ('{{printf "%+v" .State}}', "{Running:true Pid:42 ExitCode:0}"),
        ('{{index .Labels "a"}}{{index .Labels "none"}}|{{.Labels.none}}', "1|<no value>"),
        ("{{.Nothing}} {{.Empty}} {{.Share}}", "<nil> [] 0.5"),
        ("{{range .Mounts}}{{.Type}}:{{.Source}};{{$.ID}} {{end}}", "bind:/a;abc123 volume:v;abc123 "),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}},{{end}}", "a=1,b=2,"),
        ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Running}}up{{end}}{{with .State}}{{.Pid}}{{end}}", "up42"),
        (
            "{{json .State}} {{json .Labels}} {{json .Nothing}}",
            '{"Running":true,"Pid":42,"ExitCode":0} {"a":"1","b":"2"} null',
        ),
        ("{{(index .Mounts 1).Source}}", "v"),
        ("{{len .Names}} {{len .Labels}} {{.Nothing.Deep.Deeper}}", "2 2 <no value>"),
        ('{{join .Names ","}}', "web,www"),
        ("{{eq .State.ExitCode 0}}", "true"),
    ],
)
def test_fields_maps_and_lists_are_filled_in(source, wanted):
    assert render(source, CONTAINER) == wanted


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        ("{{.Nmes}}", "line 1, character 3", "no field .Nmes (there is .Names)"),
        ("a\nb {{.ID", "line 2, character 3", "not closed"),
        ("{{if .ID}}x", "line 1, character 11", "no {{end}}"),
        ("{{end}}", "line 1, character 3", "end without a block"),
        ("{{if .ID}}a{{else}}b{{else}}c{{end}}", "line 1", "a second else"),
        ("{{nosuch .ID}}", "line 1, character 3", "'nosuch' is not defined"),
        ("{{index .Names 9}}", "line 1", "out of range"),
        ("{{.ID.Deep}}", "line 1", "can't take field .Deep of string"),
        ("{{$x}}", "line 1", "undefined variable $x"),
        ('{{"abc}}', "line 1", "not closed"),
        ("{{}}", "line 1", "a value is missing"),
        ("{{.ID .Names}}", "line 1", "only a function"),
        ("{{break}}", "line 1", "outside a range"),
        ("{{template `x`}}", "line 1", "not supported"),
        ("{{lt .ID 1}}", "line 1", "incompatible types"),
        ("{{lower 1}}", "line 1", "wants a string"),
        ("{{len 1}}", "line 1", "no length"),
        ("{{join .Names}}", "line 1", "wants 2 values, got 1"),
        ("{{range .ID}}{{end}}", "line 1", "can't go over string"),
        ("{{nil}}", "line 1", "nil is not a command"),
        ("{{/* x }}", "line 1", "comment is not closed"),
        ("{{(.ID}}", "line 1", "unexpected }}"),
        ("{{1x}}", "line 1", "not a number"),
        ("{{pad .ID `x` 1}}", "line 1", "pad:"),
        ("{{&}}", "line 1", "unexpected '&'"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(source, place, words):
    with pytest.raises(Usage) as caught:
        render(source, CONTAINER)
    assert place in caught.value.message
    assert words in caught.value.message
    assert caught.value.remedy


def test_values_are_printed_as_go_does():
    assert print_value(NO_VALUE) == "<no value>"
    assert print_value([None, 1.0, 1e-7, -2.5, True, "x"]) == "[<nil> 1 1e-07 -2.5 true x]"
    assert print_value({}) == "map[]"
    assert quote('a"\\\n\x01é\u2028') == '"a\\"\\\\\\n\\x01é\\u2028"'
    assert sprintf("%v %d", [[1], True]) == "[1] %!d(bool=true)"


def test_json_keeps_the_order_of_structs_and_sorts_maps():
    value = {"B": 1, "A": {"z": "é<", "a": None}}
    assert go_json(value) == '{"B":1,"A":{"a":null,"z":"é<"}}'
    assert json.loads(pretty_json(CONTAINER)) == CONTAINER
    assert json.loads(pretty_json({"a": [], "b": {}, "c": [1, [2]]})) == {"a": [], "b": {}, "c": [1, [2]]}


def test_one_value_is_printed_with_a_line_end_once(capsys):
    print_values("{{.ID}}\\t{{.State.Pid}}\\n", CONTAINER)
    print_values("{{.ID}}", CONTAINER)
    print_values("{{json .Names}}", CONTAINER)
    assert capsys.readouterr().out == 'abc123\t42\nabc123\n["web","www"]\n'


ROWS = [{"ID": "a1", "CreatedAt": "now", "Names": "a-rather-long-name"}, {"ID": "b2", "CreatedAt": "", "Names": "b"}]


def test_a_table_has_titles_and_podmans_columns(capsys):
    print_rows("table {{.ID}} {{.Names}} {{.CreatedAt}}", ROWS, {"ID": "CONTAINER ID"})
    assert capsys.readouterr().out == (
        "CONTAINER ID  NAMES               CREATED AT\n"
        "a1            a-rather-long-name  now\n"
        "b2            b                   \n"
    )


def test_titles_can_be_left_out_and_pass_through_functions(capsys):
    print_rows("table {{.ID}}\\t{{upper .Names}}", ROWS[1:], {}, noheading=True)
    print_rows("table {{upper .Names}} {{json .ID}}", ROWS[1:], {})
    assert capsys.readouterr().out == 'b2          B\nNAMES       ID\nB           "b2"\n'


def test_a_template_is_filled_in_for_each_row(capsys):
    print_rows("{{.ID}}:{{.Names}}", ROWS, {})
    print_rows("json", [{"A": 1}], {})
    assert capsys.readouterr().out == 'a1:a-rather-long-name\nb2:b\n[\n     {\n          "A": 1\n     }\n]\n'


def test_a_title_is_made_from_a_fields_name():
    assert [default_heading(name) for name in ("CreatedAt", "ID", "ImageID", "RunningFor")] == [
        "CREATED AT",
        "ID",
        "IMAGE ID",
        "RUNNING FOR",
    ]


@settings(max_examples=600, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "{{",
                    "}}",
                    "{{-",
                    "-}}",
                    " ",
                    ".ID",
                    ".Names",
                    ".State",
                    ".Nothing",
                    "$",
                    "$x",
                    ":=",
                    "=",
                    "|",
                    "(",
                    ")",
                ),
                *(
                    "if",
                    "else",
                    "end",
                    "range",
                    "with",
                    "break",
                    "nil",
                    "true",
                    "3",
                    "-1",
                    '"a"',
                    "`b`",
                    "'c'",
                    ",",
                    ".",
                ),
                *(
                    "index",
                    "slice",
                    "len",
                    "printf",
                    "join",
                    "eq",
                    "lt",
                    "json",
                    "pad",
                    "truncate",
                    "/*",
                    "*/",
                    "x",
                    "é",
                ),
            ]
        ),
        max_size=14,
    )
)
def test_any_text_is_filled_in_or_refused_never_a_crash(parts):
    for source in ("".join(parts), "{{" + " ".join(parts) + "}}"):
        try:
            render(source, CONTAINER)
        except Usage:
            continue


def test_a_template_nested_too_deeply_is_refused():
    for source in ("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "{{if 1}}" * 5000 + "{{end}}" * 5000):
        with pytest.raises(Usage, match="nested too deeply"):
            render(source, {})


def test_maps_keep_being_maps_whatever_their_keys_look_like():
    labels = Map({"Name": "x", "Other": "y"})
    assert render("{{.Labels}}", {"Labels": labels}) == "map[Name:x Other:y]"
    assert render('{{index .Labels "Nosuch"}}.', {"Labels": labels}) == "."
    assert render("{{json .Labels}}", {"Labels": Map({"b": "1", "a": "2"})}) == '{"a":"2","b":"1"}'


def test_empty_structs_and_nil_values_print_as_go_prints_them():
    value = {"Ports": Map({"80/tcp": Struct()}), "Volumes": NoMap(), "Cmd": NoList()}
    assert render("{{.Ports}} {{.Volumes}} {{.Cmd}}", value) == "map[80/tcp:{}] map[] []"
    assert render("{{json .Ports}} {{json .Volumes}} {{json .Cmd}}", value) == '{"80/tcp":{}} null null'
    assert render("{{if .Volumes}}some{{else}}none{{end}}", value) == "none"
