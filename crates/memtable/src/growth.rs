//! How a tree grows: a full node gets another one behind it, and the parent a slot for that.

use crate::{
    node::{Node, Part, Stand},
    order::{Place, head},
    row::Row,
    slots::SLOTS,
    tree::{Tree, Way, Writer},
};

impl Tree {
    /// Adds a row to the node that it belongs to, at the end of `way`, and in an inner node its child.
    /// Returns the node that it is in then.
    pub(crate) fn add<'a>(
        &'a self,
        writer: &mut Writer,
        way: &mut Way<'a>,
        node: &'a Node,
        row: Row<'a>,
        child: Option<&'a Node>,
    ) -> &'a Node {
        let state = node.state();
        if !state.is_full() {
            node.append(self.order(), row, child);
            return node;
        }
        let next = node.next(state);
        let rank = node.rank(self.order(), state, Place::of(row), true);
        if rank == SLOTS && (next.is_none() || state.is_in_order()) {
            // Rows come in order: nothing will come before this one.
            let part = Part { row: Some(row), child, head: head(node.prefix(), row.key()) };
            let stand = Stand { lower: Some(row), next };
            let after = self.make(writer, &[part], Some(node), stand);
            self.hang(writer, way, node, row, after);
            node.cut(SLOTS, after);
            return after;
        }
        let parts = node.parts(state);
        let (left, right) = parts.split_at(SLOTS / 2);
        let Some(at) = right.first().and_then(|part| part.row) else {
            unreachable!("only the first slot of a node has no row")
        };
        let after = self.make(writer, right, Some(node), Stand { lower: Some(at), next });
        self.hang(writer, way, node, at, after);
        node.cut(left.len(), after);
        let node =
            if node.is_stale(self.order(), left) { self.renew(writer, node, left) } else { node };
        let target = if rank > left.len() { after } else { node };
        target.append(self.order(), row, child);
        target
    }

    fn make(
        &self,
        writer: &mut Writer,
        parts: &[Part<'_>],
        before: Option<&Node>,
        stand: Stand<'_>,
    ) -> &Node {
        let made = writer.keep(Node::new(self.order(), parts, before, stand));
        // SAFETY: kept until the tree goes.
        unsafe { &*made.as_ptr() }
    }

    /// Lets readers find `after` from `at` on. Until now they came to `before`, to which `way` leads.
    fn hang<'a>(
        &'a self,
        writer: &mut Writer,
        way: &mut Way<'a>,
        before: &'a Node,
        at: Row<'a>,
        after: &'a Node,
    ) {
        if let Some(parent) = way.pop() {
            self.add(writer, way, parent, at, Some(after));
            return;
        }
        let part = |row, child| Part { row, child: Some(child), head: 0 };
        let parts = [part(None, before), part(Some(at), after)];
        let root = self.make(writer, &parts, None, Stand::default());
        self.set_root(root);
    }

    /// Puts a new node of `parts`, which are all it has, in the place of one that is not the root.
    fn renew<'a>(&'a self, writer: &mut Writer, node: &'a Node, parts: &[Part<'a>]) -> &'a Node {
        let state = node.state();
        let stand = Stand { lower: node.lower(), next: node.next(state) };
        let new = self.make(writer, parts, Some(node), stand);
        if let Some(lower) = node.lower().filter(|_| node.is_leaf()) {
            let (before, _) = self.leaf_of(Place::of(lower), false);
            before.set_next(new);
        }
        // The node is on the way to whatever it has.
        let place = parts.iter().find_map(|part| part.row).map(Place::of);
        let mut parent = self.root();
        while let Some(place) = place {
            let state = parent.state();
            let at = parent.rank(self.order(), state, place, true).saturating_sub(1);
            match parent.child(state, at) {
                Some(child) if std::ptr::eq(child, node) => {
                    parent.set_child(at, new);
                    node.retire();
                    break;
                }
                Some(child) => parent = child,
                None => break,
            }
        }
        new
    }
}
