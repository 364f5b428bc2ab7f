/* A binary tree with pointers to parents, its root in a structure; nodes outgrow their blocks. */
#include "data.h"

enum { NODES = 127 };
struct tree_node {
    struct tree_node *parent;
#if VERSION >= 2
    int height;
    long visits[3];
#endif
    struct tree_node *left, *right;
    int key;
};
static struct tree {
    struct tree_node *root;
    int count;
} tree;

SEPARATE static void insert(int key) {
    struct tree_node **link = &tree.root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = key < parent->key ? &parent->left : &parent->right;
    }
    *link = calloc(1, sizeof **link);
    (*link)->key = key;
    (*link)->parent = parent;
    tree.count++;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < NODES; i++)
        insert(i * 59 % NODES);
}

/* Checks a subtree whose keys are from `low` up to but not `high`, and frees it. Gives the number of its nodes. */
SEPARATE static int check_node(struct tree_node *node, struct tree_node *parent, int low, int high) {
    if (!node)
        return 0;
    expect_pointer("parent", parent, node->parent);
    expect_true("order", low <= node->key && node->key < high);
#if VERSION >= 2
    expect("height", 0, node->height);
    expect("visits", 0, node->visits[0] + node->visits[1] + node->visits[2]);
    node->visits[2]++;
#endif
    int count = 1 + check_node(node->left, node, low, node->key) + check_node(node->right, node, node->key + 1, high);
    free(node);
    return count;
}

SEPARATE static void check(void) {
    insert(NODES);
    expect("nodes", NODES + 1, check_node(tree.root, NULL, 0, NODES + 1));
    expect("count", NODES + 1, tree.count);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}
