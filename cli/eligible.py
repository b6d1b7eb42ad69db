"""`ocx request eligible`: which nodes a request with an expression would take, judged by their documents.

Documents come from the providers' gateways, and each is checked against its hash on the chain; a node whose
document cannot be read is not eligible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.access import gateway_of
from cli.act import working
from cli.app import App, Command, pass_app
from cli.files import read_json
from cli.render import hex_text, show
from market.errors import OcxError
from market.expressions import Expression, canonical_expression, judge, parse_expression
from market.specs import Spec, class_id, parse_spec

if TYPE_CHECKING:
    from chain.contracts.book import Eligible
    from chain.contracts.inventory import Resource
    from chain.exchange import Exchange
    from chain.gateway import GatewayClient

__all__ = ["Judged", "eligible", "judge_nodes", "terms_of"]

_AT_ONCE = 200


@dataclass(frozen=True)
class Judged:
    """A node of the class and size: whether its document fits the expression, and if not, why."""

    node: int
    org: int
    document_hash: bytes
    fits: bool
    why: str


def judge_nodes(exchange: Exchange, expression: Expression, class_name: str, least: Spec) -> list[Judged]:
    """Every node of the class that covers the spec, judged; asks the gateways of their owners."""
    found: dict[int, Resource] = {}
    count, class_ = exchange.inventory.count(), class_id(class_name)
    for first in range(1, count + 1, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, count + 1))
        found |= {
            number: known
            for number, known in exchange.inventory.many(numbers).items()
            if known.class_ == class_ and known.spec.covers(least) and not known.retired
        }
    return list(_judge_all(exchange, expression, found))


def _judge_all(exchange: Exchange, expression: Expression, nodes: Mapping[int, Resource]) -> Iterator[Judged]:
    gateways: dict[int, GatewayClient | OcxError] = {}
    for node, known in sorted(nodes.items()):
        if known.owner not in gateways:
            try:
                gateways[known.owner] = gateway_of(exchange, known.owner)
            except OcxError as error:
                gateways[known.owner] = error
        gateway = gateways[known.owner]
        if isinstance(gateway, OcxError):
            yield Judged(node, known.owner, known.document_hash, False, str(gateway))
            continue
        try:
            document = gateway.document(node, known.document_hash)
        except OcxError as error:
            yield Judged(node, known.owner, known.document_hash, False, str(error))
            continue
        failed = [finding for finding in judge(expression, document) if not finding.holds]
        why = f"{failed[0].clause}: {failed[0].why}" if failed else ""
        yield Judged(node, known.owner, known.document_hash, not failed, why)


def terms_of(exchange: Exchange, file: Path, class_name: str, least: Spec) -> Eligible:
    """What a request posts of an expression in a file; InvalidInput if no node fits it."""
    from chain.eligible import EligibleTree

    expression = parse_expression(read_json(file, "expression"))
    with working("asking the gateways for documents"):
        judged = judge_nodes(exchange, expression, class_name, least)
    tree = EligibleTree({item.node: item.document_hash for item in judged if item.fits})
    return tree.terms(canonical_expression(expression))


@click.command(cls=Command)
@click.argument("expression_file", metavar="EXPR.json", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--class", "class_name", required=True, help="Class of the nodes, e.g. bm.large.")
@click.option("--spec", default="", help="The least each must have, e.g. cores=64,memory=1024GiB.")
@pass_app
def eligible(app: App, expression_file: Path, class_name: str, spec: str) -> None:
    """Say which nodes on offer a request with an expression would take, and why not the others.

    EXPR.json is a list of [JMESPath, operator, value], all of which must hold for a node's document.
    """
    from chain.eligible import EligibleTree

    expression = parse_expression(read_json(expression_file, "expression"))
    least = parse_spec(spec) if spec else Spec()
    exchange = app.exchange(sign=True)
    with working("asking the gateways for documents"):
        judged = judge_nodes(exchange, expression, class_name, least)
    rows: list[dict[str, Any]] = [
        {"node": item.node, "org": item.org, "eligible": item.fits, "why": item.why or None}
        for item in judged
    ]
    if app.format == "json":
        tree = EligibleTree({item.node: item.document_hash for item in judged if item.fits})
        show(app, {"root": hex_text(tree.root), "eligible": list(tree.resources), "nodes": rows})
        return
    show(app, rows, value="node", empty=f"no node of class {class_name} is that large")
