"""The style sheet of the pages, for light and dark, wide and narrow screens, and for print."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1c2330;--quiet:#5d6675;--line:#e0e4ea;--ref:#c3cad6;
--cur:#1f5fd0;--ok:#1a7f4b;--ok-bg:#e4f5ec;--bad:#b3261e;--bad-bg:#fdeceb;--mid:#8a5a00;--mid-bg:#fff3d9}
@media(prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1b212b;--text:#e6e9ef;--quiet:#9aa5b5;--line:#2d3644;
--ref:#47546a;--cur:#7fb0ff;--ok:#63d297;--ok-bg:#15301f;--bad:#ff8f85;--bad-bg:#3a1b1a;--mid:#f3c568;--mid-bg:#352a12}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:27px;line-height:1.2;margin:2px 0 4px}h2{font-size:18px;margin:34px 0 10px}
h3{font-size:15px;margin:18px 0 6px}p{margin:6px 0}a{color:var(--cur)}
.quiet,.over,td small{color:var(--quiet)}.over{font-size:13px}small{font-size:12px}
.head{display:flex;gap:18px;align-items:flex-start;margin-bottom:14px}.head>div{flex:1;min-width:0}
.head h1,.card{overflow-wrap:anywhere}.head>.badge{flex:none}
.badge{display:inline-block;border-radius:999px;padding:2px 11px;font-weight:600;font-size:13px;white-space:nowrap;
background:var(--line)}
.badge.big{font-size:16px;padding:6px 18px}
.ok{color:var(--ok);background:var(--ok-bg)}.bad{color:var(--bad);background:var(--bad-bg)}
.mid{color:var(--mid);background:var(--mid-bg)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;margin:10px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:10px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px;min-height:104px}
.tile b{display:block;font-size:22px;line-height:1.25}.tile span{font-size:13px;color:var(--quiet)}
.tile small{display:block;color:var(--quiet)}
.alert{border-left:4px solid var(--mid)}.alert>.badge{float:right;margin:0 0 4px 14px}
.alert .more,.alert .todo{margin-top:8px}.alert.page{border-left-color:var(--bad)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:7px 10px;text-align:left;vertical-align:middle;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}th{font-size:12px;font-weight:600;color:var(--quiet);white-space:nowrap}
.n{text-align:right;white-space:nowrap}
td>.name{display:block;min-width:24ch;max-width:38ch;overflow-wrap:anywhere}
.mono{overflow-wrap:anywhere;font-family:ui-monospace,"SF Mono",Menlo,Consolas,monospace;font-size:13px}
svg{display:block}.dist{width:150px;height:34px}.dist.wide{width:100%;height:120px}
.ends{display:flex;justify-content:space-between;width:150px;color:var(--quiet);font-size:11px;line-height:1.3}
.wide+.ends{width:100%}
.ref{fill:var(--ref);stroke:none}.cur{fill:none;stroke:var(--cur);stroke-width:1.5;vector-effect:non-scaling-stroke}
.series{width:100%;height:24px;margin-top:4px}
.series polyline{fill:none;stroke:var(--cur);stroke-width:1.5;vector-effect:non-scaling-stroke}
.bar{width:80px;height:8px;border-radius:4px;overflow:hidden}.track{fill:var(--line)}.bar .fill{fill:var(--ref)}
.bar.over .fill{fill:var(--bad)}.bar .mark{fill:var(--text)}.bar .span{fill:var(--ref)}
.key{display:flex;gap:16px;font-size:13px;color:var(--quiet);margin:6px 0}
.key i{display:inline-block;width:18px;height:10px;margin-right:6px;background:var(--ref)}
.key i.line{height:0;border-top:2px solid var(--cur);background:none;vertical-align:middle}
.stack{display:flex;height:16px;border-radius:5px;overflow:hidden;margin:4px 0;background:var(--line)}
.stack span{height:100%}.tier-none{background:var(--ref)}.tier-review{background:var(--cur)}
.tier-auto{background:var(--bad)}
details{margin:10px 0}summary{cursor:pointer;color:var(--quiet)}ul{margin:6px 0;padding-left:20px}
@media(max-width:620px){.head{display:block}.head>.badge{margin-top:8px}
main{padding:18px 12px 40px}th,td{padding:6px 8px}
.tiles{grid-template-columns:1fr 1fr}
h1{font-size:23px}.tile b{font-size:19px}}
@media print{body{background:#fff}.scroll,.tile,.card{break-inside:avoid}details{display:block}}
"""
