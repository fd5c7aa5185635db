// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/html_page.h"

namespace wanlite::report {

// Series colours --s0 (the original) to --s6 keep a contrast of 3 : 1 against both backgrounds.
absl::string_view StyleSheet() {
  return R"css(:root{color-scheme:light dark;--bg:#ffffff;--fg:#1b2026;--muted:#59636e;--line:#d9dee4;--panel:#f5f7f9;
--alert:#b42318;--alert-bg:#fef1ef;--link:#0b5cad;
--s0:#6e7781;--s1:#0b6bcb;--s2:#c2570c;--s3:#1a7f4b;--s4:#8250df;--s5:#bf3989;--s6:#8a6d00}
@media (prefers-color-scheme:dark){:root{--bg:#12161b;--fg:#e4e9ee;--muted:#9aa5b1;--line:#2e363f;--panel:#1a2027;
--alert:#ff9a8d;--alert-bg:#3a1a17;--link:#79b8ff;
--s0:#98a2ad;--s1:#58a6ff;--s2:#f0883e;--s3:#4ac587;--s4:#b392f0;--s5:#f083c0;--s6:#d9b43c}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1120px;padding:0 20px 48px;background:var(--bg);color:var(--fg);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","Hiragino Sans",sans-serif}
header{padding:36px 0 8px}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 12px;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:0 0 12px;padding-top:20px;border-top:1px solid var(--line)}
h3{font-size:1.02rem;margin:28px 0 8px;overflow-wrap:anywhere}
section{margin-top:32px}
p{margin:8px 0;max-width:78ch}
a{color:var(--link)}
code,pre{font:0.86em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
pre{background:var(--panel);padding:10px 12px;border-radius:6px;white-space:pre-wrap;margin:8px 0}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin-top:18px;font-size:.93rem}
.verdict{font-size:1.12rem;line-height:1.5;max-width:80ch;margin:10px 0;padding-left:14px;border-left:4px solid var(--c,var(--s1))}
.verdict b{font-weight:650}
.about,.note,.small{color:var(--muted);font-size:.9rem}
.alert{border:2px solid var(--alert);border-left-width:8px;background:var(--alert-bg);color:var(--alert);
padding:10px 14px;margin:14px 0;border-radius:6px;font-weight:600}
.none{color:var(--muted);font-style:italic;font-weight:400}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:16px 28px;align-items:start}
.grid.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}
figure{margin:0;min-width:0}
figcaption{font-weight:600;font-size:.95rem;margin-bottom:2px}
svg{display:block;width:100%;height:auto;max-width:540px;font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg text{fill:var(--fg)}
svg .m{fill:var(--muted)}
svg .b{font-weight:600}
svg .grid-line{stroke:var(--line);stroke-width:1}
svg .axis{stroke:var(--muted);stroke-width:1}
svg .ref{stroke:var(--fg);stroke-width:1.2;stroke-dasharray:3 2}
svg .whisker{stroke:var(--fg);stroke-width:1.5;fill:none}
svg .front{stroke:var(--muted);stroke-width:1.5;fill:none;stroke-dasharray:1 3;stroke-linecap:round}
svg .line{fill:none;stroke-width:1.8}
svg .halo{paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}
.fr{fill:var(--line);stroke:var(--muted)}.f0{fill:var(--s0)}.f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f4{fill:var(--s4)}.f5{fill:var(--s5)}.f6{fill:var(--s6)}
.k0{stroke:var(--s0)}.k1{stroke:var(--s1)}.k2{stroke:var(--s2)}.k3{stroke:var(--s3)}.k4{stroke:var(--s4)}.k5{stroke:var(--s5)}.k6{stroke:var(--s6)}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:.9rem;margin:6px 0;padding:0;list-style:none}
.legend li{overflow-wrap:anywhere}
.legend i,.dot{display:inline-block;width:.7em;height:.7em;border-radius:2px;margin-right:.45em;background:var(--c)}
.c0{--c:var(--s0)}.c1{--c:var(--s1)}.c2{--c:var(--s2)}.c3{--c:var(--s3)}.c4{--c:var(--s4)}.c5{--c:var(--s5)}.c6{--c:var(--s6)}
.scroll{overflow-x:auto;margin:12px 0;max-width:100%}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;min-width:min(100%,480px)}
caption{text-align:left;color:var(--muted);padding:0 0 6px}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
tbody th{position:sticky;left:0;background:var(--bg);box-shadow:inset 0 -1px var(--line);font-weight:400;min-width:9em;max-width:22em;overflow-wrap:anywhere}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom}
.n{text-align:right;white-space:nowrap;padding-left:12px;padding-right:4px}
tr.group th{font-weight:650;padding-top:12px}
tr.total th,tr.total td{font-weight:600}
td small,.n small{display:block;color:var(--muted);font-size:.85em}
.tiny{display:inline-block;vertical-align:middle;width:56px;height:7px;margin-left:8px;border-radius:2px;background:var(--line);overflow:hidden}
.tiny i{display:block;height:100%;background:var(--s1)}
dl{margin:8px 0;font-size:.93rem}
dl div{display:grid;grid-template-columns:minmax(7em,13em) minmax(0,1fr);gap:2px 16px;padding:4px 0;border-bottom:1px solid var(--line)}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
details{margin:10px 0;border:1px solid var(--line);border-radius:6px;padding:0 14px}
summary{cursor:pointer;padding:9px 0;overflow-wrap:anywhere}
summary b{font-weight:650}
.strips{overflow-x:auto;margin:10px 0}
.strips div{min-width:520px}
.strips .label{font-size:.88rem;color:var(--muted);margin:8px 0 2px;position:sticky;left:0;max-width:calc(100vw - 28px)}
img{image-rendering:pixelated;display:block;width:100%;height:auto;border-radius:3px}
.clips{max-width:480px;margin:12px 0}
.clips .names{display:grid;gap:0 4px;font-size:.88rem;color:var(--muted);margin-bottom:2px}
.clips .names span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
li{margin:5px 0;max-width:80ch}
footer{margin-top:40px;padding-top:12px;border-top:1px solid var(--line);color:var(--muted);font-size:.88rem}
@media (prefers-reduced-motion:reduce){.clips{display:none}}
@media (max-width:520px){body{padding:0 14px 32px}header{padding-top:22px}h1{font-size:1.4rem}.verdict{font-size:1.03rem}svg{font-size:13px}
tbody th{min-width:7.5em}tr.group th{position:static}
dl div{grid-template-columns:1fr;gap:0}}
@media print{body{max-width:none}.scroll,.strips{overflow:visible}}
)css";
}

}  // namespace wanlite::report
